//! Declared hands, and the requests that actions become by them.

use std::net::{IpAddr, Ipv6Addr};

use aiemp_node::hands::{Connector, Hands, Request, Scheme, Sealed, idempotency_key};
use aiemp_protocol::{
    action::{Action, ActionKind, Content, Http, Payment, Post},
    approval::SignedHands,
    limits::HANDS_BYTES_MAX,
};
use reqwest::Url;
use toml::{Table, Value};

use super::{
    seeds::{self, NOW, of_content},
    text_of,
};

const NONCE: [u8; 16] = [7; 16];
/// Headers that say where a request ends or whom it is for.
const OWN_HEADERS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// What is accepted means the same however it is written, and no value and no credential changes where a request goes.
///
/// The input is a declaration and the values of actions, each behind a NUL.
pub fn hands(bytes: &[u8]) {
    let text = text_of(bytes);
    let (declaration, values) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(hands) = Hands::parse(declaration) else { return };
    let table: Table = toml::from_str(declaration).expect("it was read");
    let rewritten = toml::to_string(&table).expect("it was read");
    if rewritten.len() <= HANDS_BYTES_MAX {
        assert_eq!(Hands::parse(&rewritten).expect("it was accepted"), hands, "{rewritten}");
    }
    let signed = SignedHands { issued: NOW, text: declaration.to_owned() };
    let bytes = signed.sign(&seeds::approve(), seeds::mesh());
    assert_eq!(SignedHands::verify(&seeds::approve().public(), seeds::mesh(), &bytes), Ok(signed));
    let values: Vec<&str> = values.split('\0').collect();
    for connector in hands.iter() {
        let declared = table[&connector.name].as_table().expect("it was accepted");
        let action = filled(connector, declaration, &values);
        assert_eq!(hands.objection(&action), connector.objection(&action));
        assert!(connector.scheme == Scheme::Https || connector.is_loopback(), "unencrypted to {}", connector.host);
        if let Ok(request) = made(connector, &action, "x") {
            check(&request, connector, declared);
            let headers = declared.get("headers").and_then(Value::as_table).map_or(0, Table::len);
            let own = usize::from(declared.contains_key("idempotency_header"));
            assert!(request.headers.len() >= headers + own, "a header is left out: {:?}", request.headers);
            check_independent(&request, connector, &action, &filled(connector, declaration, &["1"]));
        }
        let looked = ["read_back", "ask"].iter().find_map(|key| declared.get(*key)?.as_table());
        if let Some(Ok(request)) = connector.look(&sealed(&action), &|_| Ok("x".to_owned())) {
            assert_eq!((request.method, &request.body), ("GET", &None));
            check(&request, connector, looked.expect("declared"));
        }
    }
}

fn sealed(action: &Action) -> Sealed<'_> {
    Sealed { action, nonce: &NONCE, approved_at: NOW }
}

fn made(connector: &Connector, action: &Action, secret: &str) -> Result<Request, String> {
    connector.request(&sealed(action), &|_| Ok(secret.to_owned()))
}

/// An action of the connector's kind with these values, as often as they are needed.
fn filled(connector: &Connector, declaration: &str, values: &[&str]) -> Action {
    let mut next = values.iter().copied().cycle();
    let mut value = || next.next().unwrap_or_default().to_owned();
    let hand = connector.name.clone();
    of_content(match connector.kind() {
        ActionKind::Post => Content::Post(Post { hand, network: value(), text: value(), attachments: Vec::new() }),
        ActionKind::Payment => Content::Payment(Payment {
            hand,
            payee: value(),
            account: value(),
            amount_minor: value().len() as u64,
            currency: value(),
            reference: value(),
        }),
        ActionKind::Http => {
            let names = declaration.split("{param.").skip(1).filter_map(|rest| rest.split(['}', ':']).next());
            Content::Http(Http { connector: hand, params: names.map(|name| (name.to_owned(), value())).collect() })
        }
        ActionKind::Email | ActionKind::Tool | ActionKind::A2a => panic!("no hand carries {}", connector.kind()),
    })
}

/// A request goes to the declared place and has the declared form.
fn check(request: &Request, connector: &Connector, declared: &Table) {
    for (name, value) in &request.headers {
        assert!(!OWN_HEADERS.contains(&name.as_str()), "{name}");
        assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{name}: {value:?}");
    }
    let target = &request.target;
    assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
    // What is no address is not called.
    let Ok(url) = Url::parse(&format!("{}{target}", request.origin)) else { return };
    let is_v6 = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>().ok();
    let host = url.host_str().expect("a host");
    assert!(host == connector.host || is_v6(host).is_some_and(|ip| is_v6(&connector.host) == Some(ip)), "{url}");
    assert_eq!(url.port_or_known_default(), Some(connector.port), "{url}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    if connector.scheme == Scheme::Http {
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        assert!(host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback()), "unencrypted to {url}");
    }
    let path = declared["path"].as_str().expect("it was accepted");
    assert_eq!(url.path().split('/').count(), path.split('/').count(), "{url}");
    let pairs = declared.get("query").and_then(Value::as_table).map_or(0, Table::len);
    assert_eq!(url.query_pairs().count(), pairs, "{url}");
}

/// Credentials stand in headers and body only, and values of actions nowhere in the headers.
fn check_independent(request: &Request, connector: &Connector, action: &Action, other: &Action) {
    let by_another_secret = made(connector, action, "y").expect("it was made");
    assert_eq!((&by_another_secret.origin, &by_another_secret.target), (&request.origin, &request.target));
    let Ok(of_others) = made(connector, other, "x") else { return };
    let [key, others_key] = [action, other].map(|action| idempotency_key(&action.hash(), &NONCE));
    assert_eq!((of_others.method, &of_others.origin), (request.method, &request.origin));
    assert_eq!(of_others.headers.len(), request.headers.len());
    for ((name, value), (others_name, others_value)) in request.headers.iter().zip(&of_others.headers) {
        assert_eq!(name, others_name);
        assert!(value == others_value || (*value == key && *others_value == others_key), "{name}: {value:?}");
    }
}
