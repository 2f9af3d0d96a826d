//! Monitoring, offices, databases and other services.

use crate::egress::{
    gate::Gate::{Entropy, Mixed, NotHex},
    rule::{
        Class::{Alnum, Base64, Digit, Dotted, Hex, LowerDigit, UpperDigit, Url, Wide},
        Part::{Named, Run, Text},
        Rule,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule::named(
        "datadog-key",
        &["datadog", "dd_api_key", "dd_app_key", "dd-api-key", "dd-application-key"],
        &[Named, Run(Hex, 32, 40)],
    )
    .gated(&[Entropy(28)])
    .like(&["DD_API_KEY={h32}", "datadog app key: {h40}"], &["datadog: trace {d19}", "Datadog agent 7"]),
    Rule::prefix("newrelic-key", &["NRAK-", "NRIQ-", "NRII-", "NRJS-", "NRSP-"], &[Run(Url, 19, 34)])
        .gated(&[Entropy(28), Mixed])
        .like(&["NRAK-{U27}", "NRII-{w32}"], &["NRAK-{U5}"]),
    Rule::prefix("grafana-token", &["glsa_"], &[Run(Alnum, 32, 32), Text("_"), Run(Hex, 8, 8)])
        .like(&["glsa_{A32}_{h8}"], &["glsa_{A32}"]),
    Rule::prefix("grafana-token", &["glc_eyJ"], &[Run(Base64, 60, 400)])
        .gated(&[Entropy(35)])
        .like(&["glc_eyJ{A90}"], &["glc_eyJ{A9}"]),
    Rule::prefix("sentry-token", &["sntrys_eyJ"], &[Run(Wide, 80, 400)])
        .like(&["sntrys_eyJ{A120}_{w43}"], &["sntrys_eyJ{A9}"]),
    Rule::prefix("sentry-token", &["sntryu_", "sntrya_"], &[Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["sntryu_{h64}"], &["sntryu_{h9}"]),
    Rule::named("pagerduty-key", &["pagerduty", "pd_api_key"], &[Named, Run(Wide, 20, 32)])
        .gated(&[Entropy(33), Mixed, NotHex])
        .like(
            &["PAGERDUTY_TOKEN=u+{A18}", "pagerduty api key: {A20}"],
            &["PagerDuty: on call is Anna", "pagerduty: https://x.example/i"],
        ),
    Rule::prefix("linear-token", &["lin_api_", "lin_oauth_"], &[Run(Alnum, 40, 64)])
        .gated(&[Entropy(30), Mixed])
        .like(&["lin_api_{A40}", "lin_oauth_{h64}"], &["lin_api_{A9}"]),
    Rule::prefix("notion-token", &["ntn_"], &[Run(Alnum, 43, 50)])
        .gated(&[Entropy(35), Mixed])
        .like(&["ntn_{A46}"], &["ntn_{A9}"]),
    Rule::prefix("notion-token", &["secret_"], &[Run(Alnum, 43, 43)])
        .gated(&[Entropy(40), Mixed])
        .like(&["secret_{A43}"], &["secret_{A9}", "secret_of_the_house"]),
    Rule::prefix("airtable-token", &["pat"], &[Run(Alnum, 14, 14), Text("."), Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["pat{A14}.{h64}"], &["pat{A14}.{h9}", "pattern.{h64}"]),
    Rule::prefix("figma-token", &["figd_"], &[Run(Url, 38, 48)])
        .gated(&[Entropy(35), Mixed])
        .like(&["figd_{w40}"], &["figd_{w9}"]),
    Rule::prefix("dropbox-token", &["sl."], &[Run(Dotted, 130, 1400)])
        .gated(&[Entropy(35), Mixed])
        .like(&["sl.{w140}", "sl.u.{w200}"], &["sl.{w20}", "sl. 4"]),
    Rule::prefix("asana-token", &["1/", "0/"], &[Run(Digit, 15, 17), Text(":"), Run(Hex, 32, 32)])
        .like(&["1/{d16}:{h32}"], &["1/{d16}", "https://app.asana.com/0/{d16}/{d16}"]),
    Rule::prefix(
        "asana-token",
        &["2/"],
        &[Run(Digit, 15, 17), Text("/"), Run(Digit, 15, 17), Text(":"), Run(Hex, 32, 32)],
    )
    .like(&["2/{d16}/{d16}:{h32}"], &["2/{d16}/{d16}"]),
    Rule::prefix("clickup-token", &["pk_"], &[Run(Digit, 6, 9), Text("_"), Run(UpperDigit, 32, 32)])
        .like(&["pk_{d8}_{U32}"], &["pk_{d8}", "pk_live_{A24}"]),
    Rule::prefix("postman-key", &["PMAK-"], &[Run(Hex, 24, 24), Text("-"), Run(Hex, 34, 34)])
        .like(&["PMAK-{h24}-{h34}"], &["PMAK-{h24}"]),
    Rule::prefix("contentful-token", &["CFPAT-"], &[Run(Url, 43, 43)])
        .gated(&[Entropy(35)])
        .like(&["CFPAT-{w43}"], &["CFPAT-{w9}"]),
    Rule::prefix("typeform-token", &["tfp_"], &[Run(Wide, 40, 64)])
        .gated(&[Entropy(35), Mixed])
        .like(&["tfp_{w44}"], &["tfp_{w9}"]),
    Rule::prefix(
        "launchdarkly-key",
        &["sdk-", "api-"],
        &[
            Run(Hex, 8, 8),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 12, 12),
        ],
    )
    .like(&["sdk-{u}", "api-{u}"], &["sdk-{h8}", "{u}"]),
    Rule::prefix("prefect-key", &["pnu_", "pnb_"], &[Run(Alnum, 36, 36)])
        .gated(&[Entropy(35), Mixed])
        .like(&["pnu_{A36}"], &["pnu_{A9}"]),
    Rule::prefix(
        "zapier-webhook",
        &["hooks.zapier.com/hooks/catch/"],
        &[Run(Digit, 5, 10), Text("/"), Run(LowerDigit, 6, 10)],
    )
    .like(&["https://hooks.zapier.com/hooks/catch/{d7}/{l7}/"], &["https://hooks.zapier.com/hooks/"]),
    Rule::prefix("readme-key", &["rdme_"], &[Run(LowerDigit, 70, 70)])
        .gated(&[Entropy(33)])
        .like(&["rdme_{l70}"], &["rdme_{l9}"]),
    Rule::prefix("frameio-token", &["fio-u-"], &[Run(Url, 64, 64)])
        .gated(&[Entropy(35)])
        .like(&["fio-u-{w64}"], &["fio-u-{w9}"]),
    Rule::prefix("duffel-token", &["duffel_live_", "duffel_test_"], &[Run(Url, 43, 43)])
        .like(&["duffel_live_{w43}"], &["duffel_live_{w9}"]),
    Rule::prefix("honeycomb-key", &["hcaik_", "hcaic_", "hcxik_", "hcamk_"], &[Run(LowerDigit, 58, 58)])
        .gated(&[Entropy(33)])
        .like(&["hcaik_{l58}"], &["hcaik_{l9}"]),
    Rule::prefix("apify-token", &["apify_api_"], &[Run(Alnum, 34, 40)])
        .gated(&[Entropy(33), Mixed])
        .like(&["apify_api_{A36}"], &["apify_api_token"]),
    Rule::prefix("posthog-key", &["phx_"], &[Run(Alnum, 40, 50)])
        .gated(&[Entropy(35), Mixed])
        .like(&["phx_{A43}"], &["phc_{A43}", "phx_{A9}"]),
    Rule::prefix("ngrok-key", &["ngrok_api_"], &[Run(Alnum, 25, 52)])
        .gated(&[Entropy(35), Mixed])
        .like(&["ngrok_api_{A40}"], &["ngrok_api_{A9}"]),
    Rule::named(
        "odoo-api-key",
        &["odoo_api_key", "odoo_key", "odoo_password", "odoo api key", "odoo key"],
        &[Named, Run(Hex, 40, 40)],
    )
    .gated(&[Entropy(28)])
    .like(&["ODOO_API_KEY={h40}", "Odoo API key: {h40}"], &["odoo module at {h40}", "odoo_key: none"]),
    Rule::named("okta-token", &["okta"], &[Named, Text("00"), Run(Url, 40, 40)])
        .gated(&[Entropy(35), Mixed])
        .like(&["OKTA_API_TOKEN=00{w40}"], &["okta: 00{w9}"]),
    Rule::named("algolia-key", &["algolia_api_key", "algolia_admin", "algolia_write"], &[Named, Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["ALGOLIA_ADMIN_KEY={h32}"], &["ALGOLIA_APP_ID={U10}"]),
    Rule::named(
        "snyk-token",
        &["snyk_token", "snyk_api"],
        &[
            Named,
            Run(Hex, 8, 8),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 4, 4),
            Text("-"),
            Run(Hex, 12, 12),
        ],
    )
    .like(&["SNYK_TOKEN={u}"], &["snyk scan {u}"]),
    Rule::named("zoom-secret", &["zoom_client_secret", "zoom_api_secret"], &[Named, Run(Alnum, 32, 36)])
        .gated(&[Entropy(35), Mixed])
        .like(&["ZOOM_CLIENT_SECRET={A32}"], &["Zoom: https://us02web.zoom.us/j/{d11}"]),
];
