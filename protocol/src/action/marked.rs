//! Values that say where an action goes: those that nothing was approved with before are marked, and typed by the person
//! who approves.

use std::{collections::BTreeSet, fmt};

use aiemp_keys::{
    Value as Cbor,
    cbor::{self, CborError, Fields},
};

use super::{Action, Content, address_of, links, money};

/// What a value is to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueKind {
    /// An address that a mail goes to.
    Recipient,
    /// Who is paid.
    Payee,
    /// Where the money goes.
    Account,
    /// How much, in one currency, to one account.
    Amount,
    /// The outside agent that gets a message.
    Agent,
    /// The host of a link in a text.
    Link,
}

impl ValueKind {
    /// All kinds, in the order of their codes.
    pub const EACH: [Self; 6] = [Self::Recipient, Self::Payee, Self::Account, Self::Amount, Self::Agent, Self::Link];

    const fn code(self) -> u64 {
        match self {
            Self::Recipient => 0,
            Self::Payee => 1,
            Self::Account => 2,
            Self::Amount => 3,
            Self::Agent => 4,
            Self::Link => 5,
        }
    }

    /// Its name for the person.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Payee => "payee",
            Self::Account => "account",
            Self::Amount => "amount",
            Self::Agent => "agent",
            Self::Link => "link",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value of an action. Wire form: `[kind u, text t, account t]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkedValue {
    /// What it is.
    pub kind: ValueKind,
    /// The value as the action has it.
    pub text: String,
    /// The account that an amount goes to: the same amount to another one is another value. Empty for the other kinds.
    pub account: String,
}

impl MarkedValue {
    /// The wire form.
    pub fn to_value(&self) -> Cbor {
        cbor::array([cbor::uint(self.kind.code()), cbor::text(&self.text), cbor::text(&self.account)])
    }

    /// Reads the wire form.
    pub fn from_value(value: Cbor) -> Result<Self, CborError> {
        let mut fields = Fields::of(value, "marked value")?;
        let code = fields.uint()?;
        let kind = ValueKind::EACH.into_iter().find(|kind| kind.code() == code).ok_or_else(|| fields.invalid())?;
        let value = Self { kind, text: fields.text()?, account: fields.text()? };
        fields.end()?;
        Ok(value)
    }

    /// Reads a list that ascends: a set has one order and no doubles.
    pub fn read_set(fields: &mut Fields) -> Result<BTreeSet<Self>, CborError> {
        let listed = fields.list_of(Self::from_value)?;
        if !listed.is_sorted_by(|before, after| before < after) {
            return Err(fields.invalid());
        }
        Ok(listed.into_iter().collect())
    }
}

impl Action {
    /// The values that say where it goes: who gets it, how much, and what its text leads to.
    pub fn marked_values(&self) -> BTreeSet<MarkedValue> {
        let value = |kind, text: &str| MarkedValue { kind, text: text.to_owned(), account: String::new() };
        let mut values: BTreeSet<_> =
            links::of_content(&self.content).iter().map(|host| value(ValueKind::Link, host)).collect();
        match &self.content {
            Content::Email(email) => {
                values.extend(email.recipients().into_iter().map(|to| value(ValueKind::Recipient, address_of(to))));
            }
            Content::Payment(payment) => values.extend([
                value(ValueKind::Payee, &payment.payee),
                value(ValueKind::Account, &payment.account),
                MarkedValue {
                    kind: ValueKind::Amount,
                    text: money::format(payment.amount_minor, &payment.currency),
                    account: payment.account.clone(),
                },
            ]),
            Content::A2a(a2a) => values.extend([value(ValueKind::Agent, &a2a.agent)]),
            Content::Post(_) | Content::Tool(_) | Content::Http(_) => {}
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Payment, fixtures};

    #[test]
    fn recipients_accounts_amounts_and_links_are_marked() {
        let mut action = fixtures::invoice_mail();
        let Content::Email(email) = &mut action.content else { panic!("an email") };
        email.to = vec!["Client A <a@client.test>".to_owned()];
        email.body = "Pay at https://pay.test/x\n".to_owned();
        let shown = |action: &Action| {
            let values = action.marked_values().into_iter();
            values.map(|value| format!("{} {}", value.kind, value.text)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&action), ["recipient a@client.test", "recipient book@client.test", "link pay.test"]);
        let payment = |amount_minor, account: &str| Action {
            content: Content::Payment(Payment {
                hand: "bank".to_owned(),
                payee: "Client A".to_owned(),
                account: account.to_owned(),
                amount_minor,
                currency: "EUR".to_owned(),
                reference: String::new(),
            }),
            ..fixtures::invoice_mail()
        };
        let one = payment(50_000, "DE89");
        assert_eq!(shown(&one), ["payee Client A", "account DE89", "amount 500.00 EUR"]);
        let elsewhere = payment(50_000, "DE90").marked_values();
        assert_eq!(one.marked_values().intersection(&elsewhere).count(), 1, "the payee alone is the same");
    }

    #[test]
    fn a_value_reads_back_and_a_set_has_one_form() {
        let values = fixtures::invoice_mail().marked_values();
        let read = |listed: Vec<&MarkedValue>| {
            let list = cbor::array([cbor::array(listed.into_iter().map(MarkedValue::to_value))]);
            MarkedValue::read_set(&mut Fields::of(list, "marks").expect("an array"))
        };
        assert_eq!(read(values.iter().collect()), Ok(values.clone()));
        assert!(read(values.iter().rev().collect()).is_err());
        assert!(read(values.iter().chain(values.last()).collect()).is_err());
    }
}
