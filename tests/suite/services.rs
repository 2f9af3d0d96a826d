//! Real services behind the sample connectors: what Cloud drafted is done there after an approval, once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use aiemp_node::hands::Hands;
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{
    deploy::{read, skip},
    node::{PATIENCE, Pair, becomes, free_port},
};

const PASSWORD: &str = "the ERP's secret of a test";
const HANDLE: &str = "sam.test";
const SAMPLES: [&str; 9] =
    ["bluesky", "facebook", "instagram", "linkedin", "mastodon", "odoo", "tryton", "whatsapp", "x"];

fn sample(name: &str) -> String {
    read(&format!("deploy/config/connectors/{name}.toml"))
}

#[test]
fn every_sample_is_taken_is_dry_and_says_whether_it_was_run() {
    let manual = read("docs/hands.md");
    for name in SAMPLES {
        let text = sample(name);
        let hands = Hands::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(hands.iter().count() > 0 && hands.iter().all(|hand| hand.dry_run), "{name}");
        let label = if text.contains("\n# Run: ") { "| run |" } else { "| not run |" };
        assert!(text.contains("\n# Not run: ") || label == "| run |", "{name} does not say whether it was run");
        let row = manual.lines().find(|line| line.starts_with("| [") && line.contains(&format!("/{name}.toml")));
        assert!(row.is_some_and(|row| row.ends_with(label)), "{name}: the manual says otherwise");
    }
}

/// A program that is ended with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The ERP with one company, and the ids of its records; nothing where it cannot be installed.
fn erp(dir: &Path, port: u16) -> Option<(Service, Value)> {
    let venv = dir.join("venv");
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let packages = ["trytond==8.2.1", "trytond_account_invoice==8.2.0", "proteus==8.2.0"];
    let is_installed = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv))
        && succeeds(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(packages));
    if !is_installed {
        return None;
    }
    let (config, password) = (dir.join("trytond.conf"), dir.join("password"));
    let settings = format!("[database]\nuri = sqlite://\npath = {}\n[web]\nlisten = 127.0.0.1:{port}\n", dir.display());
    fs::write(&config, settings).expect("written");
    fs::write(&password, PASSWORD).expect("written");
    fs::write(dir.join("erp.sqlite"), "").expect("written");
    let modules = ["-d", "erp", "-u", "ir", "res", "account_invoice", "--activate-dependencies", "--email", "a@x.test"];
    let mut admin = Command::new(venv.join("bin/trytond-admin"));
    admin.arg("-c").arg(&config).args(modules).env("TRYTONPASSFILE", &password);
    assert!(admin.output().expect("it runs").status.success(), "the database was not made");
    let fill = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/erp_fill.py");
    let filled = Command::new(venv.join("bin/python")).arg(fill).arg(&config).output().expect("it runs");
    let ids = serde_json::from_slice(&filled.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&filled.stderr));
    });
    let mut server = Command::new(venv.join("bin/trytond"));
    server.arg("-c").arg(&config).args(["-d", "erp"]).stdout(Stdio::null()).stderr(Stdio::null());
    let service = Service(server.spawn().expect("it starts"));
    assert!(becomes(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "the ERP does not listen");
    Some((service, ids))
}

/// What the ERP itself says of its invoices.
fn invoices(port: u16) -> Value {
    let body = json!({ "id": 1, "method": "model.account.invoice.search_read",
                       "params": [[], 0, Value::Null, Value::Null, ["state", "total_amount"], { "company": 1 }] });
    let body = body.to_string();
    let login = BASE64.encode(format!("admin:{PASSWORD}").as_bytes());
    let head = format!(
        "POST /erp/rpc/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Basic {login}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    ask(port, &(head + &body))["result"].clone()
}

/// The JSON that a service answers, which is one line of it.
fn ask(port: u16, request: &str) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(request.as_bytes()).expect("asked");
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let last = lines.filter(|line| line.starts_with('{')).last().unwrap_or_default();
    serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

/// Signs a declaration and stores what it needs.
fn declare(pair: &Pair, text: &str, secret: (&str, &str)) {
    let file = pair.dir().join("hands.toml");
    fs::write(&file, text).expect("written");
    pair.local.must(&["hands", "apply", &file.to_string_lossy()]);
    pair.local.store_secret(secret.0, &[], secret.1);
}

/// Cloud drafts, the person approves; the end, and what the service said.
fn approved(pair: &Pair, name: &str, draft: &str) -> (String, String) {
    pair.cloud.save(&format!("Pending_Approval/accounting/{name}.md"), draft);
    let of_draft = || {
        let items = pair.local.approvals();
        let is_it =
            |item: &&Value| item["state"] == "pending" && item["path"].as_str().is_some_and(|path| path.contains(name));
        items.iter().find(is_it).and_then(|item| item["id"].as_str().map(str::to_owned))
    };
    pair.wait("the draft waits", |_| of_draft().is_some());
    let id = of_draft().expect("it waits");
    pair.local.must(&["approvals", "approve", &id]);
    let end = || {
        let item = pair.local.approvals().into_iter().find(|item| item["id"] == id.as_str())?;
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let failure = text("failure");
        let said = if failure.is_empty() { text("summary") } else { failure };
        ["sent", "unknown", "failed"].contains(&text("state").as_str()).then(|| (text("state"), said))
    };
    pair.wait("it has an end", |_| end().is_some());
    end().expect("it has an end")
}

/// A Bluesky server with one account; nothing where it cannot be installed.
fn bluesky(dir: &Path, port: u16) -> Option<Service> {
    for folder in ["data", "blobs"] {
        fs::create_dir(dir.join(folder)).expect("made");
    }
    let install = ["install", "--no-audit", "--no-fund", "--silent", "@atproto/pds@0.4.217"];
    let is_installed = Command::new("npm").args(install).current_dir(dir).status().is_ok_and(|status| status.success());
    if !is_installed {
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/bluesky.mjs");
    let mut command = Command::new("node");
    command.arg(program).arg(dir).args([&port.to_string(), HANDLE, PASSWORD]).stdout(Stdio::piped());
    let mut server = command.stderr(Stdio::null()).spawn().expect("it starts");
    let mut said = String::new();
    BufReader::new(server.stdout.take().expect("its words")).read_line(&mut said).expect("it says that it is ready");
    let service = Service(server);
    assert!(said.contains("accessJwt"), "no account was made: {said}");
    Some(service)
}

#[test]
fn a_post_that_cloud_drafted_stands_on_a_real_bluesky_server_once_after_an_approval() {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        return skip("a real Bluesky server is installed and gets a post by `./test.sh --all`");
    }
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let Some(_service) = bluesky(folder.path(), port) else {
        return skip("@atproto/pds could not be installed, so nothing was posted");
    };
    let pair = Pair::running();
    let text = sample("bluesky").replace("you.bsky.social", HANDLE).replace("dry_run = true\n", "");
    let here = format!("scheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}");
    declare(&pair, &text.replace("host = \"bsky.social\"", &here), ("bluesky", PASSWORD));
    let draft = "---\naction: post\nhand: bluesky\nnetwork: bluesky\n---\n\nGood news, once.\n";
    let (state, said) = approved(&pair, "NEWS", draft);
    assert!(state == "sent" && said.contains("at://did:plc:"), "{state}: {said}");
    let list = format!("/xrpc/com.atproto.repo.listRecords?repo={HANDLE}&collection=app.bsky.feed.post");
    let posts = ask(port, &format!("GET {list} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let texts: Vec<_> =
        posts["records"].as_array().expect("a list").iter().map(|post| &post["value"]["text"]).collect();
    assert_eq!(texts, ["Good news, once.\n"]);
    // A password that is refused was refused before anything was asked for.
    declare(
        &pair,
        &text.replace("host = \"bsky.social\"", &here).replace("${secret:bluesky}", "${secret:other}"),
        ("other", "a secret of nobody"),
    );
    let (state, said) = approved(&pair, "MORE", &draft.replace("once", "twice"));
    assert!(state == "failed" && said.contains("gave no token, but 401"), "{state}: {said}");
}

#[test]
fn an_invoice_that_cloud_drafted_is_made_and_posted_in_a_real_erp_after_approvals() {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        return skip("a real ERP, Tryton, is installed and gets an invoice by `./test.sh --all`");
    }
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let Some((_service, ids)) = erp(folder.path(), port) else {
        return skip("Tryton could not be installed, so no invoice was made");
    };
    let pair = Pair::running();
    let mut text = sample("tryton").replace("YOUR_DATABASE", "erp").replace("dry_run = true\n", "");
    text = text.replace("host = \"erp.example\"", &format!("scheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}"));
    for (declared, id) in [("account = 39", "receivable"), ("account = 99", "revenue"), ("payment_term = 10", "term")] {
        let key = declared.split(' ').next().expect("a key");
        text = text.replace(declared, &format!("{key} = {}", ids[id]));
    }
    let login = BASE64.encode(format!("admin:{PASSWORD}").as_bytes());
    declare(&pair, &text, ("tryton", &format!("Basic {login}")));
    let invoice = |price: &str| {
        format!(
            "---\naction: http\nconnector: tryton-invoice\nparams: [party={}, address={}, text=Work in January, price={price}]\n---\n",
            ids["party"], ids["address"]
        )
    };
    let (state, said) = approved(&pair, "INVOICE_1", &invoice("1500.00"));
    assert!(state == "sent" && said.contains("\"result\":[1]"), "{state}: {said}");
    let made = invoices(port);
    assert_eq!(made[0]["total_amount"]["decimal"], "1500.00", "{made}");
    assert_eq!((made[0]["state"].as_str(), made.as_array().map(Vec::len)), (Some("draft"), Some(1)), "{made}");
    let post = |id: u32| format!("---\naction: http\nconnector: tryton-post\nparams: [invoice={id}]\n---\n");
    assert_eq!(approved(&pair, "POST_1", &post(1)).0, "sent");
    assert_eq!(invoices(port)[0]["state"], "posted");
    // It answers 200 and an error: nothing was done, and the person is told so.
    let (state, said) = approved(&pair, "POST_99", &post(99));
    assert!(state == "failed" && said.contains("UserError"), "{state}: {said}");
    let (state, said) = approved(&pair, "INVOICE_2", &invoice("a lot"));
    assert!(state == "failed", "{state}: {said}");
    assert_eq!(invoices(port).as_array().map(Vec::len), Some(1));
}
