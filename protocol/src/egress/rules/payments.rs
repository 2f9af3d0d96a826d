//! Payments, banks and shops.

use crate::egress::{
    gate::Gate::{Alone, Entropy, Mixed},
    rule::{
        Class::{Alnum, Base64, Hex, Url},
        Part::{Named, Run, Text},
        Rule,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule::prefix("stripe-key", &["sk_live_", "rk_live_", "sk_test_", "rk_test_"], &[Run(Alnum, 24, 120)])
        .gated(&[Entropy(30), Mixed])
        .like(
            &["sk_live_{A24}", "rk_live_{A99}", "sk_test_{A99}"],
            &["pk_live_{A24}", "sk_live_{A6}", "sk_live_ keys are theirs"],
        ),
    Rule::prefix("stripe-webhook-secret", &["whsec_"], &[Run(Base64, 32, 64)])
        .gated(&[Entropy(30)])
        .like(&["whsec_{A32}"], &["whsec_{A8}"]),
    Rule::prefix("square-token", &["sq0atp-", "sq0csp-"], &[Run(Url, 22, 43)])
        .gated(&[Entropy(30), Mixed])
        .like(&["sq0atp-{w22}", "sq0csp-{w43}"], &["sq0idp-{w22}", "sq0atp-{w5}"]),
    Rule::prefix("square-token", &["EAAA"], &[Run(Url, 60, 60)])
        .gated(&[Alone, Entropy(35), Mixed])
        .like(&["EAAA{w60}"], &["EAAA{w12}"]),
    Rule::named("paypal-client-secret", &["paypal"], &[Named, Run(Url, 80, 80)])
        .gated(&[Entropy(35), Mixed])
        .like(&["PAYPAL_CLIENT_SECRET=E{w79}"], &["PayPal: https://www.paypal.com/invoice/p/{d9}", "paypal id: {A17}"]),
    Rule::prefix(
        "braintree-token",
        &["access_token$production$", "access_token$sandbox$"],
        &[Run(Alnum, 16, 16), Text("$"), Run(Hex, 32, 32)],
    )
    .like(&["access_token$production${l16}${h32}"], &["access_token$production${l16}"]),
    Rule::prefix("plaid-token", &["access-production-", "access-sandbox-", "access-development-"], &[Run(Url, 36, 36)])
        .gated(&[Entropy(28), Mixed])
        .like(&["access-production-{u}"], &["access-production-{h8}", "the access-sandbox-account"]),
    Rule::named("plaid-secret", &["plaid_secret", "plaid-secret", "plaid secret"], &[Named, Run(Hex, 30, 30)])
        .gated(&[Entropy(28)])
        .like(&["PLAID_SECRET={h30}", "plaid-secret: {h30}"], &["plaid_secret is rotated"]),
    Rule::prefix("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_", "shptka_"], &[Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["shpat_{h32}", "shpss_{h32}"], &["shpat_{h9}"]),
    Rule::prefix("razorpay-key", &["rzp_live_", "rzp_test_"], &[Run(Alnum, 14, 14)])
        .gated(&[Entropy(28), Mixed])
        .like(&["rzp_live_{A14}"], &["rzp_live_{A5}"]),
    Rule::prefix("flutterwave-key", &["FLWSECK-", "FLWSECK_TEST-"], &[Run(Alnum, 32, 32), Text("-X")])
        .like(&["FLWSECK-{h32}-X"], &["FLWPUBK-{h32}-X"]),
    Rule::prefix("adyen-key", &["AQE"], &[Run(Base64, 120, 200), Text("-"), Run(Base64, 40, 80)])
        .gated(&[Entropy(35)])
        .like(&["AQE{b140}-{b44}"], &["AQE{b9}"]),
    Rule::prefix("gocardless-token", &["live_"], &[Run(Url, 40, 40)])
        .gated(&[Alone, Entropy(40), Mixed])
        .like(&["live_{w40}"], &["live_{w9}", "live_and_in_colour"]),
    Rule::prefix("coinbase-key", &["organizations/"], &[Run(Url, 36, 36), Text("/apiKeys/"), Run(Url, 36, 36)])
        .like(&["organizations/{u}/apiKeys/{u}"], &["organizations/{u}/members"]),
    Rule::prefix("easypost-key", &["EZAK", "EZTK"], &[Run(Alnum, 54, 54)])
        .gated(&[Entropy(35), Mixed])
        .like(&["EZAK{A54}"], &["EZAK{A9}"]),
    Rule::prefix("shippo-token", &["shippo_live_", "shippo_test_"], &[Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["shippo_live_{h40}"], &["shippo_live_{h4}"]),
    Rule::prefix("lob-key", &["live_", "test_"], &[Run(Hex, 35, 35)])
        .gated(&[Alone, Entropy(28)])
        .like(&["live_{h35}"], &["test_{h9}", "test_{d3}"]),
];
