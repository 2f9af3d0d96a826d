//! Chat, mail, telephones and social networks.

use crate::egress::{
    gate::Gate::{Alone, Entropy, Mixed, Near},
    rule::{
        Class::{Alnum, Digit, Hex, LowerDigit, Url, Wide},
        Part::{Assign, Named, Run, Text},
        Rule,
    },
};

/// How base64 of three digits begins: a bot's number, the first part of its token.
const DISCORD_IDS: [&str; 100] = [
    "MDA", "MDE", "MDI", "MDM", "MDQ", "MDU", "MDY", "MDc", "MDg", "MDk", "MTA", "MTE", "MTI", "MTM", "MTQ", "MTU",
    "MTY", "MTc", "MTg", "MTk", "MjA", "MjE", "MjI", "MjM", "MjQ", "MjU", "MjY", "Mjc", "Mjg", "Mjk", "MzA", "MzE",
    "MzI", "MzM", "MzQ", "MzU", "MzY", "Mzc", "Mzg", "Mzk", "NDA", "NDE", "NDI", "NDM", "NDQ", "NDU", "NDY", "NDc",
    "NDg", "NDk", "NTA", "NTE", "NTI", "NTM", "NTQ", "NTU", "NTY", "NTc", "NTg", "NTk", "NjA", "NjE", "NjI", "NjM",
    "NjQ", "NjU", "NjY", "Njc", "Njg", "Njk", "NzA", "NzE", "NzI", "NzM", "NzQ", "NzU", "NzY", "Nzc", "Nzg", "Nzk",
    "ODA", "ODE", "ODI", "ODM", "ODQ", "ODU", "ODY", "ODc", "ODg", "ODk", "OTA", "OTE", "OTI", "OTM", "OTQ", "OTU",
    "OTY", "OTc", "OTg", "OTk",
];

pub(super) const RULES: &[Rule] = &[
    Rule::prefix(
        "slack-token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxd-", "xoxe-", "xoxe."],
        &[Run(Wide, 24, 400)],
    )
    .gated(&[Entropy(25), Mixed])
    .like(
        &["xoxb-{d12}-{d13}-{A24}", "xoxp-{d12}-{d12}-{d13}-{h32}", "xoxe.xoxp-1-{A140}"],
        &["xoxb-", "xoxb-xxxxxxxxxxxx-xxxxxxxxxxxx-xxxx"],
    ),
    Rule::prefix("slack-app-token", &["xapp-"], &[Run(Digit, 1, 2), Text("-"), Run(Url, 60, 120)])
        .gated(&[Entropy(28), Mixed])
        .like(&["xapp-1-{U11}-{d13}-{h64}"], &["xapp-1-{U11}"]),
    Rule::prefix(
        "slack-webhook",
        &["hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"],
        &[Run(Alnum, 8, 14), Text("/"), Run(Alnum, 8, 20), Text("/"), Run(Alnum, 20, 80)],
    )
    .gated(&[Entropy(30)])
    .like(
        &["https://hooks.slack.com/services/T{U9}/B{U9}/{A24}"],
        &[
            "https://hooks.slack.com/services/",
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        ],
    ),
    Rule::prefix(
        "discord-bot-token",
        &DISCORD_IDS,
        &[Run(Alnum, 21, 25), Text("."), Run(Url, 6, 6), Text("."), Run(Url, 27, 38)],
    )
    .gated(&[Entropy(35), Mixed])
    .like(&["MTA{A21}.{w6}.{w38}"], &["MTA{A21}.{w6}", "NT authority"]),
    Rule::prefix(
        "discord-webhook",
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
        &[Run(Digit, 17, 20), Text("/"), Run(Url, 60, 80)],
    )
    .gated(&[Entropy(35)])
    .like(&["https://discord.com/api/webhooks/{d18}/{w68}"], &["https://discord.com/api/webhooks/{d18}/"]),
    Rule::prefix("telegram-bot-token", &[":AA"], &[Run(Url, 32, 34)])
        .behind(Digit, 8, 10)
        .gated(&[Entropy(30)])
        .like(&["bot {d9}:AA{w33}", "https://api.telegram.org/bot/{d10}:AA{w33}/getMe"], &["12:AA{w33}", "{d9}:AA"]),
    Rule::prefix("telegram-bot-token", &["api.telegram.org/bot"], &[Run(Digit, 8, 10), Text(":"), Run(Url, 33, 36)])
        .like(&["https://api.telegram.org/bot{d10}:AA{w33}/getMe"], &["https://api.telegram.org/bot{d10}/x"]),
    Rule::prefix(
        "teams-webhook",
        &["webhook.office.com/webhookb2/"],
        &[
            Run(Url, 36, 36),
            Text("@"),
            Run(Url, 36, 36),
            Text("/IncomingWebhook/"),
            Run(Hex, 32, 32),
            Text("/"),
            Run(Url, 36, 36),
        ],
    )
    .like(
        &["https://x.webhook.office.com/webhookb2/{u}@{u}/IncomingWebhook/{h32}/{u}"],
        &["https://x.webhook.office.com/webhookb2/{u}"],
    ),
    Rule::prefix("twilio-api-key", &["SK"], &[Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["SK{h32}"], &["AC{h32}", "SK{h8}"]),
    Rule::named("twilio-auth-token", &["twilio"], &[Named, Run(Hex, 32, 32)]).gated(&[Entropy(28)]).like(
        &["TWILIO_AUTH_TOKEN={h32}", "twilio auth token: {h32}"],
        &["TWILIO_ACCOUNT_SID=AC{h32}", "Twilio: call {d9}"],
    ),
    Rule::prefix("sendgrid-key", &["SG."], &[Run(Url, 22, 22), Text("."), Run(Url, 43, 43)])
        .gated(&[Entropy(35)])
        .like(&["SG.{w22}.{w43}"], &["SG.{w22}", "SG. Berlin"]),
    Rule::prefix("mailgun-key", &["key-"], &[Run(Hex, 32, 32)])
        .gated(&[Entropy(28)])
        .like(&["api:key-{h32}"], &["key-{h9}", "monkey-{h32}"]),
    Rule::named(
        "mailgun-key",
        &["mailgun"],
        &[Named, Run(Hex, 32, 32), Text("-"), Run(Hex, 8, 8), Text("-"), Run(Hex, 8, 8)],
    )
    .like(&["MAILGUN_API_KEY={h32}-{h8}-{h8}"], &["mailgun: sent {h32}"]),
    Rule::prefix("mailchimp-key", &["-us"], &[Run(Digit, 1, 2)])
        .behind(Hex, 32, 32)
        .like(&["{h32}-us14"], &["all-us7", "{h8}-us14"]),
    Rule::named(
        "postmark-token",
        &["postmark"],
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
    .like(&["POSTMARK_API_TOKEN={u}", "X-Postmark-Server-Token: {u}"], &["sent by postmark, message {u}"]),
    Rule::prefix("brevo-key", &["xkeysib-", "xsmtpsib-"], &[Run(Hex, 64, 64), Text("-"), Run(Alnum, 16, 16)])
        .like(&["xkeysib-{h64}-{A16}"], &["xkeysib-{h64}"]),
    Rule::prefix("resend-key", &["re_"], &[Run(Alnum, 8, 8), Text("_"), Run(Alnum, 24, 24)])
        .gated(&[Entropy(35), Mixed])
        .like(&["re_{A8}_{A24}"], &["re_{A8}", "re_opening_of_the_case"]),
    Rule::prefix("meta-access-token", &["EAA"], &[Run(Alnum, 100, 400)])
        .gated(&[Alone, Entropy(35), Mixed])
        .like(&["WHATSAPP_TOKEN=EAA{A180}", "EAA{A120}"], &["EAA{A30}", "the EAA says"]),
    Rule::prefix("instagram-token", &["IGQV", "IGAA"], &[Run(Url, 100, 300)])
        .gated(&[Alone, Entropy(35)])
        .like(&["IGQV{w150}"], &["IGQV{w9}"]),
    Rule::named(
        "linkedin-client-secret",
        &["linkedin_client_secret", "linkedin_secret", "linkedin client secret"],
        &[Assign, Run(Alnum, 16, 16)],
    )
    .gated(&[Entropy(28), Mixed])
    .like(&["LINKEDIN_CLIENT_SECRET={A16}"], &["LinkedIn client secret: ask Anna"]),
    Rule::prefix("linkedin-client-secret", &["WPL_AP1.", "WPL_AP0."], &[Run(Wide, 16, 40)])
        .gated(&[Entropy(28)])
        .like(&["WPL_AP1.{A16}.{A8}=="], &["WPL_AP1.{A3}"]),
    Rule::prefix("twitter-bearer-token", &["AAAAAAAAAAAAAAAAAAAA"], &[Run(Wide, 60, 120)])
        .gated(&[Near(&["bearer", "twitter"]), Entropy(35), Mixed])
        .like(
            &["twitter bearer: AAAAAAAAAAAAAAAAAAAA{A20}%{A70}"],
            &["AAAAAAAAAAAAAAAAAAAA", "bearer AAAAAAAAAAAAAAAAAAAA"],
        ),
    Rule::named(
        "twitter-secret",
        &["twitter_api_secret", "twitter_consumer_secret", "twitter_access_token_secret", "x_api_secret"],
        &[Assign, Run(Alnum, 45, 50)],
    )
    .gated(&[Entropy(35), Mixed])
    .like(&["TWITTER_API_SECRET={A50}"], &["TWITTER_API_SECRET="]),
    Rule::named("mastodon-token", &["mastodon"], &[Named, Run(Url, 43, 43)])
        .gated(&[Entropy(40), Mixed])
        .like(&["MASTODON_ACCESS_TOKEN={w43}"], &["mastodon: @anna@social.example"]),
    Rule::named(
        "bluesky-app-password",
        &["bluesky", "bsky"],
        &[
            Named,
            Run(LowerDigit, 4, 4),
            Text("-"),
            Run(LowerDigit, 4, 4),
            Text("-"),
            Run(LowerDigit, 4, 4),
            Text("-"),
            Run(LowerDigit, 4, 4),
        ],
    )
    .like(&["bluesky app password: ab2d-k7mx-q3rt-z9wv"], &["bluesky: anna.bsky.social"]),
    Rule::named(
        "gmail-app-password",
        &["gmail_app_password", "gmail app password", "google app password", "app_password", "app password"],
        &[
            Assign,
            Run(LowerDigit, 4, 4),
            Text(" "),
            Run(LowerDigit, 4, 4),
            Text(" "),
            Run(LowerDigit, 4, 4),
            Text(" "),
            Run(LowerDigit, 4, 4),
        ],
    )
    .like(&["Gmail app password: qzwx rfvt gbyh nujm"], &["app password: see the list below"]),
    Rule::prefix("hubspot-token", &["pat-na1-", "pat-na2-", "pat-eu1-", "pat-ap1-"], &[Run(Url, 36, 36)])
        .gated(&[Entropy(28)])
        .like(&["pat-eu1-{u}"], &["pat-eu1-{h8}"]),
];
