//! Clouds, hosting and secret stores.

use crate::egress::{
    gate::Gate::{Alone, Entropy, Mixed, Near, NotHex},
    rule::{
        Class::{Alnum, Base32, Base64, Dotted, Hex, LowerDigit, UpperDigit, Url, Wide},
        Part::{Assign, Named, Run, Text},
        Rule,
    },
};

const UUID: [crate::egress::rule::Part; 9] = [
    Run(Hex, 8, 8),
    Text("-"),
    Run(Hex, 4, 4),
    Text("-"),
    Run(Hex, 4, 4),
    Text("-"),
    Run(Hex, 4, 4),
    Text("-"),
    Run(Hex, 12, 12),
];

pub(super) const RULES: &[Rule] = &[
    Rule::prefix("aws-access-key-id", &["AKIA", "ASIA", "ABIA", "ACCA"], &[Run(Base32, 16, 16)])
        .gated(&[Entropy(25)])
        .like(&["id: AKIA{T16}", "ASIA{T16},"], &["AKIAIOSFODNN7EXAMPLE", "AKIA{T12}", "AKIAAAAAAAAAAAAAAAAA"]),
    Rule::named(
        "aws-secret-access-key",
        &["aws_secret", "aws secret", "secret_access_key", "secretaccesskey", "secret access key"],
        &[Named, Run(Base64, 40, 40)],
    )
    .gated(&[Entropy(40), NotHex, Mixed])
    .like(
        &["aws_secret_access_key = {b40}", "\"SecretAccessKey\": \"{b40}\"", "AWS_SECRET_ACCESS_KEY={b40}"],
        &[
            "aws_secret_access_key at {h40}",
            "AWS secret rotation: see the plan",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ],
    ),
    Rule::prefix("aws-bedrock-key", &["ABSK"], &[Run(Base64, 100, 140)])
        .gated(&[Entropy(40)])
        .like(&["ABSK{b112}"], &["ABSK{b20}"]),
    Rule::prefix("google-api-key", &["AIza"], &[Run(Url, 35, 35)])
        .gated(&[Entropy(30)])
        .like(&["key=AIza{w35}"], &["AIza{w20}", "AIzaXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"]),
    Rule::prefix("google-oauth-client-secret", &["GOCSPX-"], &[Run(Url, 28, 28)])
        .gated(&[Entropy(30)])
        .like(&["\"client_secret\":\"GOCSPX-{w28}\""], &["GOCSPX-{w9}", "GOCSPX-your-client-secret-goes-here"]),
    Rule::prefix("google-refresh-token", &["1//0"], &[Run(Url, 40, 160)])
        .gated(&[Entropy(35), Mixed])
        .like(&["refresh_token: 1//0{w60}"], &["on 1//0 of them", "https://a.example/1//0/page"]),
    Rule::prefix("google-access-token", &["ya29."], &[Run(Url, 40, 400)])
        .gated(&[Entropy(35)])
        .like(&["Bearer ya29.{w120}"], &["ya29. is how they begin", "ya29.{w10}"]),
    Rule::named("google-service-account-key", &["private_key_id"], &[Assign, Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["\"private_key_id\": \"{h40}\","], &["commit {h40}", "\"private_key_id\": \"\""]),
    Rule::prefix("azure-storage-key", &["AccountKey="], &[Run(Base64, 86, 88)])
        .gated(&[Entropy(40)])
        .like(&["AccountName=x;AccountKey={b86}==;EndpointSuffix=y"], &["AccountKey=...;", "AccountKey={b20}"]),
    Rule::prefix("azure-shared-access-signature", &["sig="], &[Run(Wide, 43, 70)])
        .gated(&[Near(&["sv=20", "sharedaccesssignature"]), Entropy(35)])
        .like(
            &["https://a.blob.core.windows.net/c?sv=2022-11-02&se=2026-01-01&sig={A40}%2Bx%3D"],
            &["https://news.example/open?id=7&sig={A50}", "sv=2022-11-02&sig=short"],
        ),
    Rule::prefix(
        "azure-client-secret",
        &["0Q~", "1Q~", "2Q~", "3Q~", "4Q~", "5Q~", "6Q~", "7Q~", "8Q~", "9Q~"],
        &[Run(Dotted, 31, 34)],
    )
    .behind(Url, 3, 3)
    .gated(&[Entropy(30)])
    .like(&["secret: {A3}8Q~{w34}"], &["8Q~ is a mark", "{A3}8Q~{w12}"]),
    Rule::prefix("alibaba-access-key-id", &["LTAI"], &[Run(Alnum, 17, 20)])
        .gated(&[Alone, Entropy(30), Mixed])
        .like(&["LTAI{A20}"], &["LTAI5", "LTAIwithoutanydigitinit"]),
    Rule::prefix("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], &[Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["dop_v1_{h64}"], &["dop_v1_{h20}", "{h64}"]),
    Rule::prefix("heroku-api-key", &["HRKU-"], &[Run(Url, 36, 60)])
        .gated(&[Entropy(28), Mixed])
        .like(&["HRKU-{u}", "HRKU-AA{w56}"], &["HRKU-1", "heroku app {u}"]),
    Rule::named(
        "heroku-api-key",
        &["heroku_api_key", "heroku_key"],
        &[Assign, UUID[0], UUID[1], UUID[2], UUID[3], UUID[4], UUID[5], UUID[6], UUID[7], UUID[8]],
    )
    .like(&["HEROKU_API_KEY={u}"], &["HEROKU_API_KEY=", "request {u}"]),
    Rule::named("cloudflare-api-token", &["cloudflare", "cf_api_token", "cf_api_key"], &[Named, Run(Url, 37, 40)])
        .gated(&[Entropy(35), Mixed])
        .like(
            &["CLOUDFLARE_API_TOKEN={w40}", "CF_API_KEY: {h37}"],
            &["cloudflare: see https://dash.cloudflare.com/profile", "cloudflare-ray: {h16}-FRA"],
        ),
    Rule::prefix("cloudflare-origin-ca-key", &["v1.0-"], &[Run(Hex, 24, 24), Text("-"), Run(Hex, 100, 160)])
        .gated(&[Entropy(28)])
        .like(&["v1.0-{h24}-{h146}"], &["v1.0-{h24}", "release v1.0-beta"]),
    Rule::named("fastly-api-token", &["fastly"], &[Named, Run(Url, 32, 32)])
        .gated(&[Entropy(35), Mixed])
        .like(&["FASTLY_API_TOKEN={w32}"], &["Fastly: a network for content", "fastly-debug: {w12}"]),
    Rule::prefix("vercel-token", &["vcp_", "vci_", "vca_", "vcr_", "vck_"], &[Run(Alnum, 24, 80)])
        .gated(&[Entropy(35), Mixed])
        .like(&["vcp_{A56}"], &["vcp_of_something", "vca_{A10}"]),
    Rule::named("vercel-token", &["vercel_token", "vercel_api", "vercel token"], &[Assign, Run(Alnum, 24, 24)])
        .gated(&[Entropy(35), Mixed])
        .like(&["VERCEL_TOKEN={A24}"], &["VERCEL_TOKEN=", "vercel deployed {A24}"]),
    Rule::prefix("netlify-token", &["nfp_", "nfo_", "nfc_", "nfu_", "nfb_"], &[Run(Alnum, 36, 40)])
        .gated(&[Entropy(35), Mixed])
        .like(&["nfp_{A36}"], &["nfp_{A8}", "nfp_"]),
    Rule::prefix("supabase-key", &["sbp_"], &[Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["sbp_{h40}"], &["sbp_{h8}"]),
    Rule::prefix("supabase-key", &["sb_secret_"], &[Run(Url, 22, 60)])
        .gated(&[Entropy(30), Mixed])
        .like(&["sb_secret_{w31}"], &["sb_secret_key", "sb_publishable_{w31}"]),
    Rule::prefix("planetscale-credential", &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"], &[Run(Dotted, 32, 64)])
        .gated(&[Entropy(30), Mixed])
        .like(&["pscale_pw_{w43}"], &["pscale_pw_{w9}"]),
    Rule::prefix("databricks-token", &["dapi"], &[Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["dapi{h32}", "dapi{h32}-2"], &["dapi{h12}", "the dapi of it"]),
    Rule::prefix("fly-token", &["fo1_", "fm2_", "fm1_"], &[Run(Wide, 40, 800)])
        .gated(&[Entropy(35), Mixed])
        .like(&["FlyV1 fm2_{b120}", "fo1_{w43}"], &["fm2_{A9}"]),
    Rule::prefix("render-api-key", &["rnd_"], &[Run(Alnum, 28, 36)])
        .gated(&[Entropy(35), Mixed])
        .like(&["rnd_{A32}"], &["rnd_seed_of_the_run", "rnd_{A12}"]),
    Rule::prefix("terraform-token", &[".atlasv1."], &[Run(Url, 60, 70)])
        .behind(Alnum, 14, 14)
        .gated(&[Entropy(30)])
        .like(&["{A14}.atlasv1.{w64}"], &["x.atlasv1.y", ".atlasv1.{w64}"]),
    Rule::prefix("vault-token", &["hvs.", "hvb.", "hvr."], &[Run(Url, 24, 300)])
        .gated(&[Entropy(30), Mixed])
        .like(&["VAULT_TOKEN=hvs.{w90}"], &["hvs. und weiter", "hvs.{w9}"]),
    Rule::prefix(
        "doppler-token",
        &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."],
        &[Run(Dotted, 40, 80)],
    )
    .gated(&[Entropy(35), Mixed])
    .like(&["dp.pt.{A43}", "dp.st.dev_x.{A43}"], &["dp.pt.{A9}"]),
    Rule::prefix("pulumi-token", &["pul-"], &[Run(Hex, 40, 40)])
        .gated(&[Entropy(28)])
        .like(&["pul-{h40}"], &["pul-{h8}"]),
    Rule::prefix("tailscale-key", &["tskey-auth-", "tskey-api-", "tskey-client-", "tskey-scim-"], &[Run(Url, 20, 64)])
        .gated(&[Entropy(30), Mixed])
        .like(&["tskey-auth-{A12}CNTRL-{A32}"], &["tskey-auth-", "tskey-api-{A5}"]),
    Rule::prefix("one-password-token", &["ops_eyJ"], &[Run(Base64, 100, 2000)])
        .gated(&[Entropy(35)])
        .like(&["ops_eyJ{A300}"], &["ops_eyJ{A9}"]),
    Rule::prefix(
        "one-password-secret-key",
        &["A3-"],
        &[
            Run(UpperDigit, 6, 6),
            Text("-"),
            Run(UpperDigit, 6, 11),
            Text("-"),
            Run(UpperDigit, 5, 5),
            Text("-"),
            Run(UpperDigit, 5, 5),
            Text("-"),
            Run(UpperDigit, 5, 5),
        ],
    )
    .like(&["A3-{U6}-{U11}-{U5}-{U5}-{U5}"], &["invoice A3-{U6}", "A3-{U6}-{U11}"]),
    Rule::prefix(
        "dynatrace-token",
        &["dt0c01.", "dt0s16."],
        &[Run(UpperDigit, 24, 24), Text("."), Run(UpperDigit, 64, 64)],
    )
    .like(&["dt0c01.{U24}.{U64}"], &["dt0c01.{U24}"]),
    Rule::prefix("infracost-key", &["ico-"], &[Run(Alnum, 32, 32)])
        .gated(&[Entropy(30), Mixed])
        .like(&["ico-{A32}"], &["ico-{A7}"]),
    Rule::prefix("openshift-token", &["sha256~"], &[Run(Url, 43, 43)])
        .gated(&[Entropy(35)])
        .like(&["sha256~{w43}"], &["sha256:{h64}", "sha256~"]),
    Rule::named(
        "hetzner-linode-token",
        &["hcloud_token", "hetzner_token", "linode_token"],
        &[Assign, Run(LowerDigit, 64, 64)],
    )
    .gated(&[Entropy(30)])
    .like(&["HETZNER_TOKEN={h64}", "LINODE_TOKEN: {l64}"], &["HCLOUD_TOKEN=", "linode_token: {d9}"]),
    Rule::named(
        "azure-subscription-key",
        &["ocp-apim-subscription-key", "azure_openai", "azure_key"],
        &[Named, Run(Alnum, 32, 84)],
    )
    .gated(&[Entropy(28), Mixed])
    .like(
        &["Ocp-Apim-Subscription-Key: {h32}", "AZURE_OPENAI_API_KEY={A84}"],
        &["azure_openai_endpoint: https", "Ocp-Apim-Trace: true {d6}"],
    ),
];
