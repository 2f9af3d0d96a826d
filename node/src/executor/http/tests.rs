//! The hand against services that answer, lie, hang and break.

use std::{path::Path, process::Command, sync::Arc};

use aiemp_keys::Hash;
use aiemp_protocol::{
    action::{Action, Content, Http},
    ids::WorkId,
    time::Timestamp,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinHandle,
};

use data_encoding::BASE64;

use super::{super::masked::percent, *};
use crate::hands::{Hands, Sealed};

const TOKEN: &str = "s3cret/to\"ken+";

/// A service that says these words to each caller; what it was asked.
struct Service {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn service(answer: impl Into<Vec<u8>>) -> Service {
    let answer = answer.into();
    service_by(move |mut stream: TcpStream, _| {
        let answer = answer.clone();
        async move {
            stream.write_all(&answer).await.ok();
        }
    })
    .await
}

async fn service_by<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            heard.lock().await.push(request.clone());
            serve(stream, request).await;
        }
    });
    Service { port, asked, task }
}

fn call_with(port: u16, more: &str) -> Call {
    let text = format!(
        "[crm]\ncarries = \"http\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"localhost\"\nport = {port}\npath = \"/notes/{{param.id}}\"\n\
         timeout_s = 1\nheaders = {{ Authorization = \"Bearer ${{secret:token}}\" }}\nidempotency_header = \"Idempotency-Key\"\n\
         not_done = [400, 401, 422]\nlater = [429, 503]\n{more}"
    );
    call_of(&text)
}

/// The call that a declaration of `crm` makes of one action.
fn call_of(text: &str) -> Call {
    let action = Action {
        file: Hash::of_content(b"file"),
        work: WorkId(Hash::of_content(b"work")),
        content: Content::Http(Http { connector: "crm".to_owned(), params: vec![("id".to_owned(), "7".to_owned())] }),
    };
    let connector = Hands::parse(text).unwrap().get("crm").unwrap().clone();
    let sealed = Sealed { action: &action, nonce: &[7; 16], approved_at: Timestamp::from_millis(0) };
    let request = connector.request(&sealed, &|_| Ok(TOKEN.to_owned())).unwrap();
    let login = connector.login(&|_| Ok(TOKEN.to_owned())).transpose().unwrap();
    let (ends, unwanted) = (Timestamp::from_millis(u64::MAX), Unwanted::default());
    Call { connector, request, login, ends, unwanted, secrets: vec![Secret::new(TOKEN.to_owned())] }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn sent(answer: impl Into<Vec<u8>>) -> Dispatched {
    let service = service(answer).await;
    call_with(service.port, "").send().await
}

fn told(dispatched: &Dispatched) -> &str {
    match dispatched {
        Dispatched::Sent(told) | Dispatched::Unknown(told) | Dispatched::NotSent { reason: told, .. } => told,
    }
}

#[tokio::test]
async fn the_request_is_the_declared_one_and_is_made_once() {
    let service = service(answer("201 Created", "{\"id\": 9}")).await;
    let dispatched = call_with(service.port, "").send().await;
    let expected = format!("localhost:{} answered 201 {{\"id\": 9}}", service.port);
    assert_eq!(dispatched, Dispatched::Sent(expected));
    let asked = service.asked.lock().await;
    assert_eq!(asked.len(), 1);
    let lines: Vec<_> = asked[0].lines().collect();
    assert_eq!(lines[0], "POST /notes/7 HTTP/1.1");
    let mut headers: Vec<_> =
        lines[1..].iter().filter(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    headers.sort();
    assert!(
        headers.iter().any(|line| *line == format!("authorization: bearer {}", TOKEN.to_lowercase())),
        "{headers:?}"
    );
    assert!(headers.iter().any(|line| line.starts_with("idempotency-key: ")), "{headers:?}");
    assert!(!headers.iter().any(|line| line.starts_with("cookie") || line.starts_with("referer")), "{headers:?}");
}

#[tokio::test]
async fn only_a_declared_answer_tells_and_a_redirect_is_never_followed() {
    for (status, is_sent) in [("200 OK", true), ("204 No Content", true)] {
        assert_eq!(matches!(sent(answer(status, "")).await, Dispatched::Sent(_)), is_sent, "{status}");
    }
    for (status, retryable) in [("400 Bad", false), ("422 No", false), ("503 Busy", true), ("429 Slow", true)] {
        let dispatched = sent(answer(status, "")).await;
        assert!(matches!(dispatched, Dispatched::NotSent { retryable: r, .. } if r == retryable), "{dispatched:?}");
    }
    for status in ["404 Gone", "500 Oops", "299 Odd"] {
        let dispatched = sent(answer(status, "")).await;
        assert!(
            matches!(&dispatched, Dispatched::Unknown(told) if told.contains("does not explain")),
            "{dispatched:?}"
        );
    }
    let elsewhere = service(answer("200 OK", "")).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.port);
    let dispatched = sent(redirect).await;
    assert!(matches!(&dispatched, Dispatched::Unknown(told) if told.contains("never followed")), "{dispatched:?}");
    assert!(elsewhere.asked.lock().await.is_empty());
}

#[tokio::test]
async fn what_fails_before_the_request_was_definitely_not_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let dispatched = call_with(closed, "").send().await;
    assert!(matches!(&dispatched, Dispatched::NotSent { retryable: true, .. }), "{dispatched:?}");
    assert!(told(&dispatched).contains("refused"), "{dispatched:?}");

    // TLS: a service that does not speak it, and one that says nothing.
    let plain = service(answer("200 OK", "")).await;
    let tls = |port: u16| {
        let mut call = call_with(port, "");
        call.connector.scheme = Scheme::Https;
        call.request.origin = format!("https://localhost:{port}");
        call
    };
    let dispatched = tls(plain.port).send().await;
    assert!(matches!(&dispatched, Dispatched::NotSent { retryable: false, .. }), "{dispatched:?}");
    assert!(plain.asked.lock().await.iter().all(|asked| !asked.contains("notes")), "nothing of the request was said");
    let silent = service_by(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let dispatched = tls(silent.port).send().await;
    assert!(matches!(&dispatched, Dispatched::NotSent { retryable: true, .. }), "{dispatched:?}");
}

#[tokio::test]
async fn a_service_that_breaks_off_or_hangs_leaves_the_end_unknown() {
    for words in ["", "HTTP/1.1 2", "rubbish\r\n\r\n"] {
        let dispatched = sent(words).await;
        assert!(matches!(dispatched, Dispatched::Unknown(_)), "{words:?}: {dispatched:?}");
    }
    let hanging = service_by(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let dispatched = call_with(hanging.port, "").send().await;
    assert!(
        matches!(&dispatched, Dispatched::Unknown(told) if told.contains("no answer within 2 s")),
        "{dispatched:?}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_its_status_counts() {
    let endless = service_by(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.ok();
        let block = vec![b'x'; 1 << 16];
        while stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let call = call_with(endless.port, "");
    let dispatched = call.send().await;
    assert!(matches!(&dispatched, Dispatched::Sent(told) if told.len() < 400), "{dispatched:?}");
    let error = call.ask().await.unwrap_err();
    assert!(error.contains("longer than 1048576 bytes"), "{error}");
    let slow = service_by(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab").await.ok();
        tokio::time::sleep(Duration::from_secs(30)).await;
    })
    .await;
    let dispatched = call_with(slow.port, "").send().await;
    assert!(matches!(dispatched, Dispatched::Sent(_)), "the status came: {dispatched:?}");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    assert!(matches!(sent(many).await, Dispatched::Unknown(_)));
}

#[tokio::test]
async fn no_secret_that_was_used_is_kept() {
    let json = serde_json::to_string(TOKEN).unwrap();
    let echoes = [TOKEN.to_owned(), json, percent(TOKEN), BASE64.encode(TOKEN.as_bytes())];
    for echo in echoes {
        let body = format!("your key {echo} is not good");
        let dispatched = sent(answer("401 Unauthorized", &body)).await;
        let kept = told(&dispatched);
        assert!(kept.contains("your key") && kept.contains("is not good") && kept.contains("***"), "{kept}");
        assert!(!kept.contains("s3cret") && !kept.contains(&echo), "{kept}");
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_exact_request_and_calls_nobody() {
    let service = service(answer("200 OK", "")).await;
    let mut call = call_with(service.port, "dry_run = true\n");
    call.secrets.clear();
    call.request.headers.insert("authorization".to_owned(), "Bearer ${secret:token}".to_owned());
    let Dispatched::Sent(told) = call.send().await else { panic!("a dry run ends as sent") };
    let expected = format!(
        "dry run, nothing left this machine: POST http://localhost:{}/notes/7 | authorization: Bearer ${{secret:token}} | idempotency-key: ",
        service.port
    );
    assert!(told.starts_with(&expected), "{told}");
    assert!(service.asked.lock().await.is_empty());
}

#[tokio::test]
async fn an_address_that_would_be_changed_on_its_way_is_not_called() {
    let service = service(answer("200 OK", "")).await;
    let mut call = call_with(service.port, "");
    call.request.target = "/notes/%2e%2e/admin".to_owned();
    let dispatched = call.send().await;
    assert!(matches!(&dispatched, Dispatched::NotSent { retryable: false, .. }), "{dispatched:?}");
    assert!(service.asked.lock().await.is_empty());
}

/// Speaks TLS as this machine, with a certificate of an authority of its own; none where there is no openssl.
async fn tls_service(folder: &Path) -> Option<(u16, JoinHandle<()>)> {
    const CERTIFICATE: [&str; 12] = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
    ];
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args(CERTIFICATE).args([
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        "key.pem",
        "-out",
        "ca.pem",
    ]);
    let Ok(made) = openssl.output() else {
        skip("openssl is not installed, so there was no certificate for a service over TLS");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificates = CertificateDer::pem_file_iter(folder.join("ca.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer("201 Created", "").as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    Some((port, task))
}

fn skip(why: &str) {
    let Some(path) = std::env::var_os("AIEMP_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, format!("skipped: {why}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn a_certificate_is_believed_only_for_its_name_and_from_an_authority_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some((port, _task)) = tls_service(folder.path()).await else { return };
    let call = |host: &str, ca_file: Option<&str>| {
        let mut call = call_with(port, "");
        call.connector.scheme = Scheme::Https;
        call.connector.ca_file = ca_file.map(|name| folder.path().join(name));
        call.request.origin = format!("https://{host}:{port}");
        call
    };
    let dispatched = call("localhost", Some("ca.pem")).send().await;
    assert!(matches!(dispatched, Dispatched::Sent(_)), "{dispatched:?}");
    std::fs::write(folder.path().join("none.pem"), "no certificate").unwrap();
    for (host, ca_file, why) in [
        ("localhost", None, "UnknownIssuer"),
        ("127.0.0.1", Some("ca.pem"), "not valid for name"),
        ("localhost", Some("none.pem"), "check `ca_file`"),
        ("localhost", Some("absent.pem"), "check `ca_file`"),
    ] {
        let dispatched = call(host, ca_file).send().await;
        assert!(matches!(&dispatched, Dispatched::NotSent { retryable: false, .. }), "{dispatched:?}");
        assert!(told(&dispatched).contains(why), "{dispatched:?}");
    }
}

/// A service that gives a token at `/login`, and else answers so.
async fn with_login(login: &str, then: &str) -> Service {
    let (login, then) = (login.to_owned(), then.to_owned());
    service_by(move |mut stream, request| {
        let answer = if request.starts_with("POST /login ") { login.clone() } else { then.clone() };
        async move {
            stream.write_all(answer.as_bytes()).await.ok();
        }
    })
    .await
}

const LOGIN: &str =
    "[crm.login]\npath = \"/login\"\njson = { user = \"sam\", password = \"${secret:pw}\" }\ntoken = \"/a/jwt\"\n";

fn with_token(port: u16) -> Call {
    let text = format!(
        "[crm]\ncarries = \"http\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"localhost\"\nport = {port}\n\
         path = \"/notes/{{param.id}}\"\ntimeout_s = 1\nheaders = {{ Authorization = \"Bearer ${{token}}\" }}\nnot_done = [401]\n{LOGIN}"
    );
    call_of(&text)
}

#[tokio::test]
async fn a_login_gives_the_token_of_one_request_and_nothing_of_it_shows() {
    let jwt = "eyJ0eXAiOiJhdCtqd3Qi.x_y-z";
    let ok = answer("200 OK", &format!("{{\"a\":{{\"jwt\":\"{jwt}\"}}}}"));
    let service = with_login(&ok, &answer("201 Created", &format!("hello {jwt}"))).await;
    let dispatched = with_token(service.port).send().await;
    assert_eq!(dispatched, Dispatched::Sent(format!("localhost:{} answered 201 hello ***", service.port)));
    let asked = service.asked.lock().await;
    assert_eq!(asked.len(), 2, "{asked:?}");
    let password = serde_json::to_string(TOKEN).unwrap();
    assert!(asked[0].ends_with(&format!("{{\"password\":{password},\"user\":\"sam\"}}")), "{}", asked[0]);
    assert!(!asked[0].to_lowercase().contains("authorization"), "{}", asked[0]);
    assert!(asked[1].starts_with("POST /notes/7 ") && asked[1].contains(&format!("authorization: Bearer {jwt}")));
}

#[tokio::test]
async fn without_a_token_nothing_was_asked_for() {
    for (login, retryable) in [
        (answer("401 Unauthorized", "{\"a\":{\"jwt\":\"x\"}}"), false),
        (answer("503 Busy", ""), true),
        (answer("200 OK", "{\"a\":{}}"), false),
        (answer("200 OK", "{\"a\":{\"jwt\":\"two\\r\\nlines\"}}"), false),
        (answer("302 Found", ""), false),
        (String::new(), true),
    ] {
        let service = with_login(&login, &answer("201 Created", "")).await;
        let dispatched = with_token(service.port).send().await;
        let Dispatched::NotSent { reason, retryable: again } = &dispatched else { panic!("{dispatched:?}") };
        assert_eq!((*again, reason.contains("login")), (retryable, true), "{login:?}: {reason}");
        assert_eq!(service.asked.lock().await.len(), 1, "{login:?}");
    }
}

#[tokio::test]
async fn the_words_of_an_answer_count_where_the_declaration_says_so() {
    let more = "[crm.answer]\nhas = \"/result/0\"\nrefuses = \"/error\"\n";
    for (body, expected) in [
        ("{\"result\":[7],\"error\":null}", "sent"),
        ("{\"result\":[7],\"error\":{\"code\":1}}", "unknown"),
        ("{\"error\":[\"UserError\"]}", "not sent"),
        ("{\"result\":[7],\"error\":[]}", "sent"),
        ("{\"result\":[7],\"error\":false}", "sent"),
        ("{\"result\":[]}", "unknown"),
        ("no JSON", "unknown"),
        ("", "unknown"),
    ] {
        let service = service(answer("200 OK", body)).await;
        let told = match call_with(service.port, more).send().await {
            Dispatched::Sent(_) => "sent",
            Dispatched::NotSent { retryable, .. } => {
                if retryable {
                    "later"
                } else {
                    "not sent"
                }
            }
            Dispatched::Unknown(_) => "unknown",
        };
        assert_eq!(told, expected, "{body}");
    }
    // Cut off: whoever reads half of it knows nothing.
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{\"result\":[7]}";
    let service = service(half).await;
    assert!(matches!(call_with(service.port, more).send().await, Dispatched::Unknown(_)));
}

#[tokio::test]
async fn what_was_stopped_while_it_logged_in_is_not_asked_for() {
    let ok = answer("200 OK", "{\"a\":{\"jwt\":\"x\"}}");
    for (is_stopped, ends, retryable) in [(true, u64::MAX, true), (false, 1, false)] {
        let service = with_login(&ok, &answer("201 Created", "")).await;
        let mut call = with_token(service.port);
        call.ends = Timestamp::from_millis(ends);
        call.unwanted.store(is_stopped, std::sync::atomic::Ordering::SeqCst);
        let dispatched = call.send().await;
        assert!(
            matches!(&dispatched, Dispatched::NotSent { retryable: again, .. } if *again == retryable),
            "{dispatched:?}"
        );
        assert_eq!(service.asked.lock().await.len(), 1, "the login alone");
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_login_as_well() {
    let mut call = with_token(1);
    call.connector.dry_run = true;
    let Dispatched::Sent(told) = call.send().await else { panic!("it is shown") };
    assert!(told.contains("POST http://localhost:1/login | ") && told.contains("Bearer ${token}"), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
}
