use aiemp_keys::Hash;
use aiemp_protocol::{
    action::{Attachment, Content, Http, Payment, Post, Tool},
    ids::{ContentHash, WorkId},
};

use super::*;

const BANK: &str = r#"
[bank]
carries = "payment"
method = "POST"
host = "api.bank.example"
path = "/v1/transfers"
headers = { Authorization = "Bearer ${secret:bank-token}" }
json = { to = { name = "{payee}", iban = "{account}" }, cents = "{amount_minor:integer}", currency = "{currency}", note = "{reference}" }
idempotency_header = "Idempotency-Key"
not_done = [400, 422]
later = [503]
per_hour = 3

[bank.ask]
path = "/v1/transfers/by-key/{idempotency_key}"
field = "/state"
is = ["executed"]
"#;

fn payment() -> Action {
    action(Content::Payment(Payment {
        hand: "bank".to_owned(),
        payee: "Client A".to_owned(),
        account: "DE02120300000000202051".to_owned(),
        amount_minor: 150_000,
        currency: "EUR".to_owned(),
        reference: "Invoice 1".to_owned(),
    }))
}

fn action(content: Content) -> Action {
    Action { file: Hash::of_content(b"file"), work: WorkId(Hash::of_content(b"work")), content }
}

fn refusal(text: &str) -> String {
    Hands::parse(text).expect_err(text).to_string()
}

#[test]
fn an_amount_is_not_left_out_by_its_other_name() {
    let without = BANK.replacen("cents = \"{amount_minor:integer}\", ", "", 1);
    for name in ["amount", "amount_minor"] {
        let told = refusal(&without.replacen("per_hour = 3", &format!("omit = [\"{name}\"]"), 1));
        assert!(told.contains(&format!("cannot leave out `{name}`")), "{told}");
    }
    assert!(refusal(&without).contains("amount has no place"));
}

#[test]
fn a_declaration_says_what_it_carries_and_which_ports_it_needs() {
    let hands = Hands::parse(BANK).unwrap();
    let bank = hands.get("bank").unwrap();
    assert_eq!((bank.port, bank.is_repeatable(), bank.is_loopback()), (443, true, false));
    assert_eq!((bank.per_hour, bank.secrets().into_iter().collect::<Vec<_>>()), (Some(3), vec!["bank-token"]));
    assert_eq!(hands.ports(), BTreeSet::from([443]));
    assert_eq!(hands.objection(&payment()), None);
    assert_eq!(Hands::parse("").unwrap(), Hands::default());
    let dry = BANK.replace("[bank]", "[bank]\ndry_run = true");
    assert!(Hands::parse(&dry).unwrap().ports().is_empty(), "what calls nobody needs no port");
}

#[test]
fn only_what_is_declared_can_be_called_and_the_reason_says_so() {
    let hands = Hands::parse(BANK).unwrap();
    let post = |hand: &str| Post {
        hand: hand.to_owned(),
        network: "x".to_owned(),
        text: "Hi".to_owned(),
        attachments: Vec::new(),
    };
    let call = Http { connector: "crm".to_owned(), params: Vec::new() };
    let tool = Tool { server: "files".to_owned(), tool: "rm".to_owned(), arguments: b"{}".to_vec(), schema: None };
    for (content, why) in [
        (Content::Post(post("bank")), "carries actions of the kind payment, not post"),
        (Content::Post(post("outbox")), "the hand `outbox` carries mails only"),
        (Content::Http(call), "no hand named `crm` is declared"),
        (Content::Tool(tool), "no MCP server named `files` is declared"),
    ] {
        let told = hands.objection(&action(content)).expect("refused");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn a_call_brings_exactly_the_parameters_that_have_a_place() {
    let text = "[crm]\ncarries = \"http\"\nmethod = \"POST\"\nhost = \"crm.example\"\npath = \"/notes/{param.client}\"\n\
                form = { text = \"{param.text}\" }\nonly = { \"param.kind\" = \"note\" }\n";
    let hands = Hands::parse(text).unwrap();
    let call = |params: &[(&str, &str)]| {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        hands.objection(&action(Content::Http(Http { connector: "crm".to_owned(), params })))
    };
    assert_eq!(call(&[("client", "7"), ("kind", "note"), ("text", "Hello")]), None);
    for (params, why) in [
        (&[("client", "7"), ("kind", "note")][..], "needs param.text"),
        (&[("client", "7"), ("extra", "1"), ("kind", "note"), ("text", "x")], "has no place for param.extra"),
        (&[("client", "7"), ("kind", "deal"), ("text", "x")], "takes param.kind note only"),
    ] {
        let told = call(params).expect("refused");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn attachments_are_not_left_out_silently() {
    let text = "[social]\ncarries = \"post\"\nmethod = \"POST\"\nhost = \"social.example\"\npath = \"/posts\"\n\
                json = { text = \"{text}\" }\nomit = [\"network\"]\n";
    let attachment = Attachment {
        name: "a.png".to_owned(),
        media_type: "image/png".to_owned(),
        length: 1,
        hash: ContentHash::of(b"a"),
    };
    let hands = Hands::parse(text).unwrap();
    let post = Post {
        hand: "social".to_owned(),
        network: "x".to_owned(),
        text: "Hi".to_owned(),
        attachments: vec![attachment],
    };
    let told = hands.objection(&action(Content::Post(post))).expect("refused");
    assert!(told.contains("carries text only"), "{told}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_key_and_the_reason() {
    for (from, to, why) in [
        (
            "host = \"api.bank.example\"",
            "host = \"api.bank.example\"\nscheme = \"http\"",
            "nothing leaves this one unencrypted",
        ),
        ("host = \"api.bank.example\"", "host = \"{payee}\"", "neither a host name"),
        ("host = \"api.bank.example\"", "host = \"bank.example/evil\"", "neither a host name"),
        ("host = \"api.bank.example\"", "host = \"user@bank.example\"", "neither a host name"),
        ("host = \"api.bank.example\"", "host = \"2130706433\"", "another spelling of an address"),
        ("host = \"api.bank.example\"", "host = \"0x7f000001\"", "another spelling of an address"),
        ("host = \"api.bank.example\"", "host = \"192.0.2\"", "another spelling of an address"),
        ("host = \"api.bank.example\"", "host = \"bank.example.0x\"", "another spelling of an address"),
        ("path = \"/v1/transfers\"", "path = \"v1\"", "must begin with /"),
        ("path = \"/v1/transfers\"", "path = \"/v1/../admin\"", "`..` is no segment"),
        ("path = \"/v1/transfers\"", "path = \"/v1/%2e%2e\"", "holds more than letters"),
        ("path = \"/v1/transfers\"", "path = \"/v1?a=b\"", "holds more than letters"),
        ("path = \"/v1/transfers\"", "path = \"//v1\"", "`//` is no path"),
        ("path = \"/v1/transfers\"", "path = \"/v1/x{account}\"", "fills the whole place"),
        ("path = \"/v1/transfers\"", "path = \"/v1/${secret:bank-token}\"", "headers or the body only"),
        ("path = \"/v1/transfers\"", "path = \"/v1/{text}\"", "`{text}` is no value here; there are payee, account"),
        ("Bearer ${secret:bank-token}", "Bearer {payee}", "no values of an action"),
        ("Bearer ${secret:bank-token}", "Bearer ${secret:../x}", "is no name for a secret"),
        ("Authorization =", "Host =", "written by the node itself"),
        ("headers = {", "headers = { authorization = \"x\",", "the header `authorization` is given twice"),
        ("header = \"Idempotency-Key\"", "header = \"Authorization\"", "the header `authorization` is given twice"),
        ("iban = \"{account}\"", "iban = \"DE\"", "account has no place"),
        ("note = \"{reference}\"", "rate = 1.5", "stand as text here"),
        ("not_done = [400, 422]", "not_done = [200]", "200 is not from 300 to 599"),
        ("later = [503]", "later = [422]", "the status 422 stands under two"),
        ("per_hour = 3", "per_hour = 3\nomit = [\"account\"]", "cannot leave out `account`"),
        ("per_hour = 3", "per_hour = 3\nsuccess = []", "`success` is empty"),
        ("per_hour = 3", "per_hour = 3\ntimeout_s = 0", "timeout_s is from 1"),
        ("per_hour = 3", "per_week = 3", "unknown field `per_week`"),
        ("method = \"POST\"", "method = \"GET\"", "a GET has no body"),
        ("method = \"POST\"", "method = \"CONNECT\"", "unknown variant"),
        ("carries = \"payment\"", "carries = \"tool\"", "unknown variant"),
        ("by-key/{idempotency_key}", "newest", "has to name the one thing"),
        ("is = [\"executed\"]", "", "belong together"),
        ("[bank.ask]", "[bank.read_back]", "unknown field"),
        ("[bank]\n", "[smtp]\n", "built in"),
        ("[bank]\n", "[\"a b\"]\n", "a hand's name is"),
    ] {
        let text = BANK.replacen(from, to, 1);
        let text = if to == "[smtp]\n" || to.starts_with("[\"a") {
            text.split("[bank.ask]").next().unwrap().to_owned()
        } else {
            text
        };
        let told = refusal(&text);
        assert!(told.contains(why), "{to}: {told}");
    }
    let read_back =
        BANK.split("[bank.ask]").next().unwrap().to_owned() + "[bank.read_back]\npath = \"/\"\ntext = \"/text\"\n";
    assert!(refusal(&read_back).contains("for others declare `ask`"));
    assert!(matches!(Hands::parse(&" ".repeat(HANDS_BYTES_MAX + 1)), Err(DeclarationError::TooLarge)));
}

#[test]
fn a_server_is_read_strictly_and_calls_what_it_lists() {
    let digest = "ab".repeat(32);
    let file = |more: &str| Hands::parse(&format!("[mcp.files]\ncommand = \"/bin/files\"\n{more}\n"));
    let hands = file(&format!("args = [\"-v\"]\ntools = {{ rm = \"{digest}\" }}")).expect("a server");
    let tool = |tool: &str, arguments: &[u8]| {
        let schema = None;
        let call = Tool { server: "files".to_owned(), tool: tool.to_owned(), arguments: arguments.to_vec(), schema };
        hands.objection(&action(Content::Tool(call))).unwrap_or_default()
    };
    assert_eq!(tool("rm", b"{\"path\": \"x\"}"), "");
    assert!(tool("ls", b"{}").contains("`ls` of `files` is not among those"));
    assert!(tool("rm", b"{\"n\": 99999999999999999999}").contains("would arrive as another one"));
    let server = hands.server("files").expect("it is declared");
    assert_eq!((server.place().as_str(), server.dry_run), ("/bin/files -v", false));
    for (text, why) in [
        ("uri = \"https://x\"", "unknown field `uri`"),
        ("url = \"https://x\"", "two ways to one server"),
        ("headers = { A = \"b\" }", "for a server with a `url`"),
        ("tools = { rm = \"00\" }", "64 hex digits"),
        ("reads = [\"x\"]", "absolute path"),
        ("timeout_s = 0", "timeout_s is from 1"),
        ("env = { A = \"${secret:}\" }", "${secret:NAME}"),
    ] {
        let told = file(text).expect_err("refused").to_string();
        assert!(told.contains(why), "{told}");
    }
    let both = format!("{BANK}\n[mcp.bank]\ncommand = \"/bin/x\"\n");
    assert!(Hands::parse(&both).expect_err("two of one name").to_string().contains("a hand is named bank as well"));
    // How long it waits makes no other hand of it; anything else does.
    let of = |more: &str| file(more).expect("a server").server("files").expect("declared").digest;
    assert_eq!(of("timeout_s = 7"), of("per_hour = 3"));
    assert_ne!(of("args = [\"a\"]"), of("args = [\"b\"]"));
}

#[test]
fn a_login_and_the_words_of_an_answer_are_declared_whole_or_refused() {
    let hand =
        |more: &str| format!("[x]\ncarries = \"http\"\nmethod = \"POST\"\nhost = \"x.test\"\npath = \"/\"\n{more}");
    let with_token = "headers = { Authorization = \"Bearer ${token}\" }\n";
    let login = |more: &str| hand(&format!("{with_token}[x.login]\npath = \"/login\"\ntoken = \"/jwt\"\n{more}"));
    let taken = Hands::parse(&login("json = { key = \"${secret:key}\" }\n")).unwrap();
    assert_eq!(taken.get("x").unwrap().secrets(), ["key"].into());
    for (text, why) in [
        (hand(with_token), "needs a table `login`"),
        (hand("[x.login]\npath = \"/\"\ntoken = \"/a\"\n"), "of no use without `${token}`"),
        (hand("headers = { A = \"${other}\" }\n"), "there are `${secret:NAME}`"),
        (hand("form = { a = \"${token}\" }\n"), "a value fills the whole place"),
        (login("host = \"X.test\"\n"), "neither a host name"),
        (login("host = \"localhost\"\n"), "both are this machine, or neither"),
        (login("headers = { A = \"${token}\" }\n"), "is what it is made for"),
        (login("form = { a = \"{param.b}\" }\n"), "is a value of an action"),
        (login("form = { a = \"1\" }\njson = { a = \"1\" }\n"), "are both given"),
        (login("form = { a = \"1\" }\n").replace("\"/jwt\"", "\"jwt\""), "no JSON pointer"),
        (hand("[x.answer]\n"), "names a place in it"),
        (hand("[x.answer]\nrefuses = \"\"\n"), "a place within the answer"),
        (hand("[x.answer]\nhas = \"result\"\n"), "no JSON pointer"),
    ] {
        let told = refusal(&text);
        assert!(told.contains(why), "{text}: {told}");
    }
}
