use aiemp_protocol::{
    action::{Content, Http, Payment, Post},
    ids::WorkId,
};

use super::*;
use crate::hands::Hands;

const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

fn action(content: Content) -> Action {
    Action { file: Hash::of_content(b"file"), work: WorkId(Hash::of_content(b"work")), content }
}

fn payment(reference: &str) -> Action {
    action(Content::Payment(Payment {
        hand: "bank".to_owned(),
        payee: "Müller & Söhne \"GmbH\"".to_owned(),
        account: "DE02 1203".to_owned(),
        amount_minor: 150_000,
        currency: "EUR".to_owned(),
        reference: reference.to_owned(),
    }))
}

fn call(name: &str, value: &str) -> Action {
    let params = vec![(name.to_owned(), value.to_owned())];
    action(Content::Http(Http { connector: "crm".to_owned(), params }))
}

fn made(text: &str, action: &Action) -> Result<Request, String> {
    let hands = Hands::parse(text).unwrap();
    let secret = |name: &str| Ok(format!("<{name}>"));
    let connector = hands.get(action.hand()).unwrap();
    connector.request(&Sealed { action, nonce: &[7; 16], approved_at: NOW }, &secret)
}

const CRM: &str = "[crm]\ncarries = \"http\"\nmethod = \"PUT\"\nhost = \"crm.example\"\npath = \"/notes/{param.id}\"\n";

#[test]
fn a_payment_becomes_exactly_this_request() {
    let bank = r#"
[bank]
carries = "payment"
method = "POST"
host = "api.bank.example"
path = "/v1/accounts/{account}/transfers"
query = { ref = "{reference}", v = "2" }
headers = { Authorization = "Bearer ${secret:bank-token}", Accept = "application/json" }
json = { to = "{payee}", amount = "{amount}", cents = "{amount_minor:integer}", cur = "{currency}", tags = ["a", 1, true], at = "{approved_at}", pin = "${secret:pin}" }
idempotency_header = "Idempotency-Key"
"#;
    let request = made(bank, &payment("A/B?c=d&e ä")).unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.origin, "https://api.bank.example:443");
    assert_eq!(request.target, "/v1/accounts/DE02%201203/transfers?ref=A%2FB%3Fc%3Dd%26e%20%C3%A4&v=2");
    let expected = r#"{"amount":"1500.00","at":"2026-01-07T10:30:00Z","cents":150000,"cur":"EUR","pin":"<pin>","tags":["a",1,true],"to":"Müller & Söhne \"GmbH\""}"#;
    assert_eq!(request.body.as_deref(), Some(expected));
    let key = idempotency_key(&payment("A/B?c=d&e ä").hash(), &[7; 16]);
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            ("authorization", "Bearer <bank-token>"),
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ]
    );
    assert_eq!(made(bank, &payment("A/B?c=d&e ä")), Ok(request), "the same bytes each time");
}

#[test]
fn the_key_is_the_approvals_own_and_a_uuid() {
    let (one, other) = (payment("1").hash(), payment("2").hash());
    let key = idempotency_key(&one, &[7; 16]);
    assert_eq!(key, "e3899de6-1016-8295-b38f-c49977139531", "pinned: a key may be in use when the program changes");
    assert_ne!(key, idempotency_key(&other, &[7; 16]));
    assert_ne!(key, idempotency_key(&one, &[8; 16]));
}

#[test]
fn no_value_leaves_its_segment() {
    for (value, segment) in [
        ("a/b", "a%2Fb"),
        ("../admin", "..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c", "a%3Fb%23c"),
        ("...", "..."),
        ("\u{2025}", "%E2%80%A5"),
        ("a b+c;d", "a%20b%2Bc%3Bd"),
    ] {
        assert_eq!(made(CRM, &call("id", value)).unwrap().target, format!("/notes/{segment}"));
    }
    for value in ["", ".", ".."] {
        let told = made(CRM, &call("id", value)).unwrap_err();
        assert!(told.contains("cannot stand in a path"), "{told}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_values_are_the_request_goes_where_it_was_declared(id: String, text: String) {
        let crm = CRM.replace("{param.id}", "{param.id}/end").replace("PUT", "POST")
            + "query = { q = \"{param.text}\", z = \"last\" }\njson = { t = \"{param.text}\", z = 1 }\n";
        let action = action(Content::Http(Http {
            connector: "crm".to_owned(),
            params: vec![("id".to_owned(), id.clone()), ("text".to_owned(), text.clone())],
        }));
        let Ok(request) = made(&crm, &action) else {
            proptest::prop_assert!(matches!(id.as_str(), "" | "." | ".."));
            return Ok(());
        };
        let url = reqwest::Url::parse(&format!("{}{}", request.origin, request.target)).unwrap();
        proptest::prop_assert_eq!((url.scheme(), url.host_str(), url.port_or_known_default()), ("https", Some("crm.example"), Some(443)));
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        proptest::prop_assert!(matches!(segments[..], ["notes", _, "end"]), "{:?}", segments);
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        proptest::prop_assert_eq!(pairs, [("q".to_owned(), text.clone()), ("z".to_owned(), "last".to_owned())]);
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        proptest::prop_assert_eq!(body, serde_json::json!({ "t": text, "z": 1 }));
        proptest::prop_assert!(!request.target.contains(char::is_whitespace) && request.target.is_ascii());
    }
}

#[test]
fn a_form_and_a_whole_number_keep_their_form() {
    let form = format!("{CRM}form = {{ n = \"{{param.id:integer}}\", token = \"${{secret:crm}}\" }}\n");
    let form = form.replace("/notes/{param.id}", "/notes");
    let request = made(&form, &call("id", "42")).unwrap();
    assert_eq!(request.body.as_deref(), Some("n=42&token=%3Ccrm%3E"));
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    for value in ["4.2", "042", "+1", "", "1e3", "99999999999999999999", "0x1"] {
        let told = made(&form, &call("id", value)).unwrap_err();
        assert!(told.contains("has to be a whole number"), "{told}");
    }
}

#[test]
fn a_look_names_the_key_or_the_list_and_carries_no_body() {
    let social = "[social]\ncarries = \"post\"\nmethod = \"POST\"\nhost = \"social.example\"\npath = \"/posts\"\nomit = [\"network\"]\n\
                  headers = { Authorization = \"Bearer ${secret:social}\" }\njson = { text = \"{text}\" }\n";
    let post = action(Content::Post(Post {
        hand: "social".to_owned(),
        network: "x".to_owned(),
        text: "Hi\n".to_owned(),
        attachments: Vec::new(),
    }));
    let look = |text: &str| {
        let hands = Hands::parse(text).unwrap();
        let sealed = Sealed { action: &post, nonce: &[7; 16], approved_at: NOW };
        hands.get("social").unwrap().look(&sealed, &|name| Ok(format!("<{name}>")))
    };
    assert_eq!(look(social), None);
    let list = look(&format!(
        "{social}[social.read_back]\npath = \"/me/posts\"\nquery = {{ limit = \"50\" }}\ntext = \"/text\"\n"
    ));
    let list = list.unwrap().unwrap();
    assert_eq!((list.method, list.target.as_str(), &list.body), ("GET", "/me/posts?limit=50", &None));
    assert_eq!(list.headers["authorization"], "Bearer <social>");
    let ask = look(&format!("{social}[social.ask]\npath = \"/posts\"\nquery = {{ key = \"{{idempotency_key}}\" }}\n"));
    let key = idempotency_key(&post.hash(), &[7; 16]);
    assert_eq!(ask.unwrap().unwrap().target, format!("/posts?key={key}"));
}
