//! Private keys, tokens and passwords of no one provider.

use crate::egress::{
    gate::Gate::{Entropy, Mixed, Near, NoInvitation, Password, PrivateArmour, WebToken},
    rule::{
        Class::{
            self, Alnum, Base32, Base64, Digit, Dotted, Hex, LowerDigit, Space, Title, Url, Userinfo, Visible, Wide,
        },
        Part::{Assign, Named, Run, Text},
        Rule,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule::prefix("private-key", &["-----BEGIN "], &[Run(Title, 11, 40), Text("-----")])
        .gated(&[PrivateArmour])
        .like(
            &[
                "-----BEGIN RSA PRIVATE KEY-----\n{b64}\n{b64}\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN EC PRIVATE KEY-----\r\n{b64}\r\n",
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{b70}\n",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{b64}\n",
                "\"private_key\": \"-----BEGIN PRIVATE KEY-----\\n{A64}\\n{A64}\"",
                "-----BEGIN DSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{H32}\n\n{b64}\n",
            ],
            &[
                "-----BEGIN PUBLIC KEY-----\n{b64}\n-----END PUBLIC KEY-----",
                "-----BEGIN CERTIFICATE-----\n{b64}\n{b64}\n-----END CERTIFICATE-----",
                "A file that begins with -----BEGIN RSA PRIVATE KEY----- is a private key.",
                "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{b64}\n{b64}\n",
                "-----BEGIN PGP SIGNATURE-----\n\n{b64}\n{b64}\n",
            ],
        ),
    Rule::prefix("private-key", &["-----BEGIN PGP PRIVATE KEY BLOCK"], &[Text("-----")])
        .gated(&[PrivateArmour])
        .like(&["-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n{b64}\n{b64}\n"], &["-----BEGIN PGP PRIVATE KEY BLOCK-----"]),
    Rule::prefix("putty-private-key", &["PuTTY-User-Key-File-"], &[Run(Digit, 1, 1), Text(": "), Run(Visible, 5, 40)])
        .gated(&[Near(&["private-lines", "private-mac", "public-lines"])])
        .like(&["PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 2\n{b64}\nPrivate-Lines: 1\n{b48}\n"], &["a PuTTY-User-Key-File-3: begins so"]),
    Rule::prefix("age-secret-key", &["AGE-SECRET-KEY-1"], &[Run(Alnum, 58, 58)])
        .gated(&[Entropy(30)])
        .like(&["AGE-SECRET-KEY-1{U58}"], &["age1{l58}", "AGE-SECRET-KEY-1..."]),
    Rule::named("wireguard-private-key", &["PrivateKey", "PresharedKey"], &[Assign, Run(Base64, 44, 44)])
        .gated(&[Entropy(35)])
        .like(&["PrivateKey = {b43}="], &["PublicKey = {b43}=", "PrivateKey = ..."]),
    Rule::prefix("json-web-token", &["eyJ"], &[Run(Url, 12, 2000), Text("."), Run(Url, 8, 8000), Text("."), Run(Url, 20, 1000)])
        .gated(&[WebToken])
        .like(&["{j}.{j}.{w43}"], &["eyJ{A30}.eyJ{A30}.{w43}", "{j}", "{j}.{j}"]),
    Rule::prefix("password-in-address", &["://"], &[Run(Userinfo, 0, 64), Text(":"), Run(Userinfo, 4, 128), Text("@")])
        .behind(LowerDigit, 2, 16)
        .gated(&[Password])

        .like(
            &["postgres://app:{A16}@db.internal:5432/x", "https://anna:{A12}@git.example.org/x.git", "redis://:{A20}@cache:6379"],
            &["https://example.org:8080/a@b", "postgres://db.internal/x", "https://medium.com/@anna/x", "postgres://user:xxxx@host", "smtp://user:your_password@host"],
        ),
    Rule::prefix("password-hash", &["$2a$", "$2b$", "$2y$"], &[Run(Digit, 2, 2), Text("$"), Run(Wide, 53, 53)])
        .like(&["anna:$2y$10${A53}"], &["anna:$2y$10$"]),
    Rule::prefix("password-hash", &["$apr1$", "$1$", "$5$", "$6$"], &[Run(Wide, 1, 32), Text("$"), Run(Wide, 22, 86)])
        .like(&["anna:$apr1${A8}${A22}", "root:$6${A16}${A86}:19000:0"], &["anna:$apr1$", "it cost $5$ or $6$"]),
    Rule::prefix("password-hash", &["$argon2id$", "$argon2i$", "$scrypt$", "$y$"], &[Run(Visible, 40, 300)])
        .gated(&[Entropy(30)])
        .like(&["$argon2id$v=19$m=65536,t=3,p=4${A22}${A43}"], &["$argon2id$"]),
    Rule::named("password-hash", &["{SHA}", "{SSHA}"], &[Run(Base64, 28, 64)])
        .gated(&[Entropy(30)])
        .like(&["anna:{SHA}{b27}="], &["anna:{SHA}"]),
    Rule::named("netrc-password", &["machine "], &[Run(Dotted, 3, 253), Run(Space, 1, 40), Text("login"), Run(Space, 1, 40), Run(Visible, 1, 128), Run(Space, 1, 40), Text("password"), Run(Space, 1, 40), Run(Visible, 6, 128)])
        .gated(&[Password])
        .like(&["machine mail.acme.org login anna password {A12}", "machine git.acme.org\n  login a\n  password {A9}\n"], &["the machine is a login away", "machine x.org login anna"]),
    Rule::named("pgpass-password", &[":5432:"], &[Run(Url, 1, 64), Text(":"), Run(Url, 1, 64), Text(":"), Run(Class::Password, 8, 128)])
        .gated(&[Password, Mixed])
        .like(&["db.internal:5432:shop:app:{A16}"], &["at 10:5432:11", "db:5432:shop"]),
    Rule::named(
        "password",
        &["password", "passwort", "passwd", "passphrase", "passwd", "contrase\u{f1}a", "mot de passe", "wachtwoord", "smtp_pass", "db_pass", "pwd"],
        &[Assign, Run(Class::Password, 8, 128)],
    )
    .gated(&[Password, Mixed, Entropy(28), NoInvitation])
    .like(
        &["Password: {A12}", "**Password:** `{A10}!`", "db_password={A16}", "\"smtp_pass\": \"{A14}\"", "PWD='{A11}'", "Passwort: {A12}"],
        &[
            "Password: see the safe", "password: ********", "Password: changeme1", "password = os.environ", "PWD=/home/anna/work2",
            "Password reset: https://example.org/r/{A20}", "password: {d6}", "password = read_password1()", "password: $DB_PASSWORD1", "password policy: 12 characters",
        ],
    ),
    Rule::named(
        "api-key",
        &[
            "api_key", "apikey", "api-key", "api key", "api_secret", "apisecret", "secret_key", "secretkey", "secret key", "client_secret", "clientsecret",
            "client secret", "access_token", "accesstoken", "access token", "auth_token", "authtoken", "refresh_token", "bot_token", "api_token", "api token",
            "webhook_secret", "signing_secret", "encryption_key", "private_token", "access_key", "app_secret", "jwt_secret", "session_secret",
        ],
        &[Assign, Run(Wide, 20, 256)],
    )
    .gated(&[Entropy(33), Mixed, Password])
    .like(
        &["API_KEY={A32}", "client_secret: \"{A28}\"", "access_token={w43}", "\"refresh_token\": \"{A60}\"", "**API key**: `{A40}`"],
        &["api_key = settings.api_key_of_the_shop", "API key: ask Anna in room 12", "access_token={h8}", "api_key: YOUR_API_KEY_1_GOES_HERE_42", "client secret: 1Password"],
    ),
    Rule::named("authorization-header", &["authorization: bearer ", "authorization: basic ", "authorization: token ", "authorization\": \"bearer ", "authorization\": \"basic "], &[Run(Wide, 16, 2000)])
        .gated(&[Entropy(32), Mixed])
        .like(&["Authorization: Bearer {A40}", "-H 'Authorization: Basic {A24}=='", "\"Authorization\": \"Bearer {A30}\""], &["Authorization: Bearer <token>", "Authorization: Bearer $TOKEN", "Authorization: Basic realm"]),
    Rule::named("wallet-private-key", &["private_key", "private key", "privatekey", "privkey", "wallet key"], &[Named, Text("0x"), Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["PRIVATE_KEY=0x{h64}", "private key: 0x{h64}"], &["transaction 0x{h64}", "private key: 0x{h8}"]),
    Rule::named("wallet-private-key", &["private_key", "private key", "privatekey", "privkey"], &[Named, Run(Hex, 64, 64)])
        .gated(&[Entropy(28)])
        .like(&["privkey: {h64}"], &["sha256: {h64}", "private key: {h8}"]),
    Rule::named("wallet-private-key", &["wif", "private_key", "private key", "privkey"], &[Named, Run(Alnum, 51, 52)])
        .gated(&[Entropy(40), Mixed])
        .like(&["WIF: K{A51}", "private key = 5{A50}"], &["wif: {A9}", "wife: Anna"]),
    Rule::prefix("extended-private-key", &["xprv", "yprv", "zprv", "tprv"], &[Run(Alnum, 107, 108)])
        .gated(&[Entropy(40)])
        .like(&["xprv{A107}"], &["xpub{A107}", "xprv{A9}"]),
    Rule::prefix("totp-secret", &["otpauth://totp/", "otpauth://hotp/"], &[Run(Visible, 10, 300)])
        .gated(&[Near(&["secret="])])
        .like(&["otpauth://totp/X:anna?secret={T32}&issuer=X"], &["otpauth://totp/x", "your code is {d6}"]),
    Rule::named("totp-secret", &["totp_secret", "totp secret", "2fa secret", "totp seed"], &[Assign, Run(Base32, 16, 64)])
        .gated(&[Entropy(28)])
        .like(&["TOTP secret: {T32}"], &["TOTP secret: in the safe", "2FA code: {d6}"]),
    Rule::named("kubernetes-client-key", &["client-key-data"], &[Assign, Run(Base64, 100, 4000)])
        .gated(&[Entropy(35)])
        .like(&["client-key-data: {A200}"], &["client-key-data: {A9}", "certificate-authority-data: {A200}"]),
];
