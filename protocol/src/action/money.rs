//! Amounts: exact decimals in the smallest unit of a known currency.

use super::field::Fault;

/// Currencies of ISO 4217 with two decimals.
const TWO_DECIMALS: &str = "\
    AED ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF \
    CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG \
    HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU \
    MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES \
    WST XCD XCG YER ZAR ZMW ZWG";
/// Currencies without decimals.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
/// Currencies with three decimals.
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";

/// Refuses what is not the code of a known currency.
pub(super) fn currency(code: &str) -> Result<(), Fault> {
    is_currency(code).then_some(()).ok_or_else(|| {
        Fault::new(
            "not the code of a known currency",
            "write the ISO 4217 code in capitals, for example `currency: USD`",
        )
    })
}

/// Decimals of a known currency's smallest unit.
fn decimals(code: &str) -> Option<usize> {
    [(2, TWO_DECIMALS), (0, NO_DECIMALS), (3, THREE_DECIMALS)]
        .into_iter()
        .find_map(|(decimals, codes)| codes.split_ascii_whitespace().any(|known| known == code).then_some(decimals))
}

/// Whether it is the ISO 4217 code of a known currency.
pub fn is_currency(code: &str) -> bool {
    decimals(code).is_some()
}

/// Reads a plain decimal as an amount of `code`'s smallest unit; nothing is ever rounded.
pub(super) fn parse(text: &str, code: &str) -> Result<u64, Fault> {
    currency(code)?;
    let decimals = decimals(code).unwrap_or_default();
    let fault = |message: &str| Fault::new(message, format!("write it as {}", example(decimals)));
    let (whole, fraction) = match text.split_once('.') {
        None => (text, ""),
        Some((_, "")) => return Err(fault("the amount ends with a point")),
        Some(parts) => parts,
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(fault("the amount is not a plain decimal number"));
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(fault("the amount starts with a zero"));
    }
    if fraction.len() > decimals {
        return Err(fault(&format!("{code} has {decimals} decimals")));
    }
    let minor = format!("{whole}{fraction:0<decimals$}");
    match minor.parse() {
        Ok(0) => Err(fault("the amount is zero")),
        Ok(minor) => Ok(minor),
        Err(_) => Err(fault("the amount is too large")),
    }
}

fn example(decimals: usize) -> &'static str {
    match decimals {
        0 => "`amount: 1500`, without separators or currency sign",
        3 => "`amount: 1500.000`, without separators or currency sign",
        _ => "`amount: 1500.00`, without separators or currency sign",
    }
}

/// `500.00 USD`; an unknown currency is told in its smallest unit.
pub fn format(minor: u64, code: &str) -> String {
    match decimals(code) {
        None => format!("{minor} smallest units of {code}"),
        Some(0) => format!("{minor} {code}"),
        Some(decimals) => {
            let digits = format!("{minor:0>width$}", width = decimals + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            format!("{whole}.{fraction} {code}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(parse("500.00", "USD"), Ok(50_000));
        assert_eq!(parse("500.5", "USD"), Ok(50_050));
        assert_eq!(parse("500", "USD"), Ok(50_000));
        assert_eq!(parse("0.01", "EUR"), Ok(1));
        assert_eq!(parse("1500", "JPY"), Ok(1500));
        assert_eq!(parse("1.234", "KWD"), Ok(1234));
    }

    #[test]
    fn amounts_that_could_be_read_twice_are_refused() {
        for text in [
            "", ".", "5.", ".5", "0500", "1,500.00", "1.500", "$5", "5e3", "-5", "+5", "0", "0.00", "٥", "1 000",
            "0x10",
        ] {
            assert!(parse(text, "USD").is_err(), "{text}");
        }
        assert!(parse("1.5", "JPY").is_err());
        assert!(parse("184467440737095516.16", "USD").is_err());
        assert!(parse("5", "usd").is_err() && parse("5", "BTC").is_err());
    }

    proptest! {
        #[test]
        fn an_amount_reads_back(minor in 1u64.., code in prop::sample::select(vec!["USD", "JPY", "KWD"])) {
            let shown = format(minor, code);
            let (number, shown_code) = shown.split_once(' ').expect("two words");
            prop_assert_eq!(shown_code, code);
            prop_assert_eq!(parse(number, code), Ok(minor));
        }
    }
}
