//! Attacks on declared hands: who declares, what is declared, and where values and credentials lead a request.

use std::time::Duration;

use aiemp_keys::Hash;
use aiemp_protocol::{
    action::{Action, Content, Http, Post, action_id},
    approval::{Outcome, Receipt, SignedHands},
    ids::WorkId,
    time::Timestamp,
};
use anyhow::{Context, Result, anyhow, ensure};
use reqwest::Url;

use super::{Tried, mesh::Mesh, victim::Victim};
use crate::{
    hands::{Hands, Sealed},
    shell::clock,
};

/// A hand as a person would declare it, but that nothing leaves this machine.
const CRM: &str = r#"
[crm]
carries = "http"
dry_run = true
method = "PUT"
host = "crm.example"
path = "/clients/{param.id}/stage"
query = { by = "{param.by}", v = "2" }
headers = { Authorization = "Bearer ${secret:crm}" }
form = { stage = "{param.stage}" }
"#;
const MOMENT: Duration = Duration::from_secs(1);
/// Values that would lead elsewhere, were they taken as they are.
const VALUES: [&str; 18] = [
    "..",
    ".",
    "",
    "../../admin",
    "../",
    "/etc",
    "//evil.example",
    "%2e%2e",
    "%2f..%2fadmin",
    "..%5cadmin",
    "\\..\\admin",
    "@evil.example",
    ":80@evil.example/",
    "?by=other",
    "#cut",
    "a&by=other",
    "a\r\nHost: evil.example\r\n\r\n",
    "a\u{0} \u{2025}/",
];

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let mut tried = handed_in()?;
    tried.push(values()?);
    tried.push(credentials()?);
    tried.extend(declared()?);
    Ok(tried)
}

fn call(mesh: &Mesh, number: u8, connector: &str, params: &[(&str, &str)]) -> Action {
    let mut params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    params.sort();
    action(mesh, number, Content::Http(Http { connector: connector.to_owned(), params }))
}

fn action(mesh: &Mesh, number: u8, content: Content) -> Action {
    let work = WorkId(Hash::of_content(&[number]));
    Action { file: action_id(mesh.file()), work, content }
}

/// Declarations and calls in a real executor.
fn handed_in() -> Result<Vec<Tried>> {
    let (mesh, other) = (Mesh::found()?, Mesh::found()?);
    let victim = Victim::found(&mesh, "hands")?;
    let now = clock::now();
    let (declarations, calls) = (declarations(&mesh, &other, now), calls(&mesh));
    let own = SignedHands { issued: now, text: CRM.to_owned() }.sign(&mesh.approve, mesh.rosters.current().mesh);
    // They are looked at in the order of their names, and before every call.
    victim.hand_in("00.hands", &own)?;
    for (at, (_, _, bytes)) in declarations.iter().enumerate() {
        victim.hand_in(&format!("1{at}.hands"), bytes)?;
    }
    let honest = call(&mesh, 0, "crm", &HONEST);
    for (number, action) in calls.iter().map(|(_, _, action)| action).chain([&honest]).enumerate() {
        let bundle = mesh.bundle(&mesh.approve, action, &mesh.decision(action, u8::try_from(number)?, now));
        victim.hand_in(&format!("{number}.approval"), &bundle.to_bytes())?;
    }
    victim.run()?;
    let mut tried = Vec::new();
    for (at, (name, why, _)) in declarations.iter().enumerate() {
        tried.push(Tried::refused_for(name, why, victim.refusal(&format!("1{at}.hands"))?.as_deref()));
    }
    let receipts = victim.receipts(&mesh)?;
    let end = |action: &Action, outcome| {
        let is_it = |receipt: &&Receipt| receipt.action == action.hash() && receipt.outcome == outcome;
        receipts.iter().find(is_it).map(|receipt| receipt.detail.as_str())
    };
    for (name, why, action) in &calls {
        let told = end(action, Outcome::Failed);
        tried.push(Tried::refused_for(name, why, told.map(|told| if told.contains(why) { *why } else { told })));
    }
    // Said by the executor: an honest call is made, and nowhere else than it was declared.
    let declared = "PUT https://crm.example:443/clients/17/stage?by=me&v=2 ";
    let stays = end(&honest, Outcome::Sent).is_some_and(|request| request.contains(declared));
    let came_of_it = if stays { Err("it goes where the person declared") } else { Ok(()) };
    tried.push(Tried::refused("an honest call goes where another declaration leads it", came_of_it));
    Ok(tried)
}

/// Declarations beside the one that a person signed, each with the code of its refusal.
fn declarations(mesh: &Mesh, other: &Mesh, now: Timestamp) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let evil = CRM.replace("crm.example", "evil.example");
    let http = evil.replace("dry_run = true", "scheme = \"http\"");
    let of = |text: &str, issued| SignedHands { issued, text: text.to_owned() };
    let (earlier, later) = (now.earlier_by(MOMENT), now + MOMENT);
    let (own, foreign) = (mesh.rosters.current().mesh, other.rosters.current().mesh);
    let mut flipped = of(&evil, later).sign(&mesh.approve, own);
    if let Some(byte) = flipped.last_mut() {
        *byte ^= 1;
    }
    vec![
        ("a declaration that nobody signed", "signature", evil.clone().into_bytes()),
        ("Cloud signs a declaration", "signature", of(&evil, later).sign(&mesh.cloud, own)),
        ("the approver of another mesh signs a declaration", "signature", of(&evil, later).sign(&other.approve, own)),
        ("a declaration of another mesh", "signature", of(&evil, later).sign(&mesh.approve, foreign)),
        ("a declaration is changed after it was signed", "signature", flipped),
        ("an older declaration is put back", "older_hands", of(&evil, earlier).sign(&mesh.approve, own)),
        ("a signed one calls another machine unencrypted", "form", of(&http, later).sign(&mesh.approve, own)),
    ]
}

/// What the honest call fills in.
const HONEST: [(&str, &str); 3] = [("id", "17"), ("by", "me"), ("stage", "won")];

/// Calls that a person approved, and the declaration does not allow: what the receipt says.
fn calls(mesh: &Mesh) -> Vec<(&'static str, &'static str, Action)> {
    let post =
        Post { hand: "crm".to_owned(), network: "x".to_owned(), text: "Hello\n".to_owned(), attachments: Vec::new() };
    let [id, by, stage] = HONEST;
    vec![
        ("a call by a hand that is not declared", "no hand named `other`", call(mesh, 1, "other", &HONEST)),
        ("a call by a hand for mails", "carries mails only", call(mesh, 2, "outbox", &HONEST)),
        ("a post by a hand for calls", "carries actions of the kind http", action(mesh, 3, Content::Post(post))),
        ("a call with a value more", "has no place for", call(mesh, 4, "crm", &[id, by, stage, ("admin", "1")])),
        ("a call with a value less", "which the draft does not give", call(mesh, 5, "crm", &[id, by])),
        ("a call to the folder above", "cannot stand in a path", call(mesh, 6, "crm", &[("id", ".."), by, stage])),
    ]
}

fn url_of(mesh: &Mesh, id: &str, by: &str, secret: &str) -> Result<Option<Url>> {
    let hands = Hands::parse(CRM)?;
    let connector = hands.get("crm").context("declared")?;
    let action = call(mesh, 0, "crm", &[("id", id), ("by", by), ("stage", "won")]);
    let sealed = Sealed { action: &action, nonce: &[1; 16], approved_at: clock::now() };
    match connector.request(&sealed, &|_| Ok(secret.to_owned())) {
        Err(_) => Ok(None),
        Ok(request) => {
            let has_break = request.headers.values().any(|value| value.contains(['\r', '\n']));
            ensure!(!has_break, "a line break in a header");
            Ok(Some(Url::parse(&format!("{}{}", request.origin, request.target))?))
        }
    }
}

/// Every value, in the path and in the query: no request, or one to the declared place with the value in its own.
fn values() -> Result<Tried> {
    let mesh = Mesh::found()?;
    let honest = url_of(&mesh, "17", "me", "x")?.ok_or_else(|| anyhow!("an honest call makes no request"))?;
    ensure!(honest.as_str() == "https://crm.example/clients/17/stage?by=me&v=2", "an honest call goes to {honest}");
    let mut taken = 0;
    for value in VALUES {
        for (id, by) in [(value, "me"), ("17", value)] {
            let Some(url) = url_of(&mesh, id, by, "x")? else { continue };
            let segments: Vec<_> = url.path().split('/').collect();
            let pairs: Vec<_> = url.query_pairs().collect();
            let stays = url.origin() == honest.origin()
                && url.username().is_empty()
                && url.fragment().is_none()
                && matches!(segments[..], ["", "clients", _, "stage"])
                && matches!(&pairs[..], [(a, given), (b, two)] if a == "by" && given == by && b == "v" && two == "2");
            taken += usize::from(!stays);
        }
    }
    Ok(Tried::all_refused("values of a draft lead a call elsewhere", taken, 2 * VALUES.len()))
}

/// Declarations that put a credential where it would show, or let a draft name it.
fn credentials() -> Result<Tried> {
    let secret = "${secret:crm}";
    let cases = [
        (
            "/clients/{param.id}/stage",
            "/clients/${secret:crm}/stage",
            "a credential stands in headers or the body only",
        ),
        ("by = \"{param.by}\"", &format!("by = \"{secret}\""), "a credential stands in headers or the body only"),
        ("by = \"{param.by}\"", &format!("by = \"x{secret}\""), "a value fills the whole place"),
        ("host = \"crm.example\"", &format!("host = \"{secret}.example\""), "neither a host name"),
        ("Authorization =", &format!("\"{secret}\" ="), "no name of a header"),
        ("${secret:crm}\"", "{param.by}\"", "no values of an action"),
        ("${secret:crm}\"", "${secret:../keys/node}\"", "no name for a secret"),
    ];
    Ok(all_refused_for("a credential where it does not belong", &cases))
}

/// Declarations that a person might be talked into.
fn declared() -> Result<Vec<Tried>> {
    ensure!(Hands::parse(CRM).is_ok(), "an honest declaration is refused");
    let unencrypted = |host: &str| format!("scheme = \"http\"\nhost = \"{host}\"");
    let hosts = ["crm.example", "localhost.example", "127.0.0.1.example", "0.0.0.0", "192.0.2.7", "[2001:db8::7]"];
    let http = hosts.map(unencrypted);
    let http: Vec<_> = http.iter().map(|to| ("host = \"crm.example\"", to.as_str(), "unencrypted")).collect();
    ensure!(
        Hands::parse(&CRM.replace("host = \"crm.example\"", &unencrypted("127.0.0.1"))).is_ok(),
        "loopback is refused"
    );
    let host = |text: &str| format!("host = \"{text}\"");
    let hosts =
        ["{param.by}", "me@crm.example", "crm.example/x", "crm.example:80", "crm.example\\r\\nX: y", "CRM.example"];
    let odd = hosts.map(host);
    let mut odd: Vec<_> = odd.iter().map(|to| ("host = \"crm.example\"", to.as_str(), "neither a host name")).collect();
    odd.push(("host = \"crm.example\"", "host = \"2130706433\"", "another spelling of an address"));
    let paths = [
        ("/clients/{param.id}/stage", "/clients/../stage", "is no segment"),
        ("/clients/{param.id}/stage", "/clients/%2e%2e/stage", "holds more than"),
        ("/clients/{param.id}/stage", "//evil.example/stage", "is no path"),
        ("/clients/{param.id}/stage", "/clients/x{param.id}", "a value fills the whole place"),
        ("/clients/{param.id}/stage", "/clients?by=other", "holds more than"),
        ("/clients/{param.id}/stage", "@evil.example/", "must begin with /"),
        ("Authorization =", "Host =", "is written by the node itself"),
        ("\"Bearer ${secret:crm}\"", "\"x\\r\\nHost: y\"", "only visible ASCII"),
    ];
    Ok(vec![
        all_refused_for("another machine is called unencrypted", &http),
        all_refused_for("a host that is no literal host", &odd),
        all_refused_for("a path or header that leads elsewhere", &paths),
    ])
}

/// The honest declaration with something else in it: each has to be refused for its reason.
fn all_refused_for(name: &str, cases: &[(&str, &str, &str)]) -> Tried {
    let is_refused = |(from, to, why): &&(&str, &str, &str)| {
        Hands::parse(&CRM.replace(from, to)).is_err_and(|error| error.to_string().contains(why))
    };
    let refused = cases.iter().filter(is_refused).count();
    Tried::all_refused(name, cases.len() - refused, cases.len())
}
