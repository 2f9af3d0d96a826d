//! A service over HTTP on loopback, played as the run of this thread says.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::failpoint::{self, Provider};

/// Takes posts, payments and calls; ends with the run.
pub(super) struct Service {
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    pub(super) async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A caller whose process ends takes only its own connection with it.
                tokio::spawn(serve(stream));
            }
        });
        Self { port, task }
    }

    /// Hands that call it: `social`, which can be read back; `bank`, by key, which can be asked; `keyed`, by key; `plain`.
    pub(super) fn hands(&self) -> String {
        let port = self.port;
        let head = |name: &str, carries: &str| {
            format!(
                "\n[{name}]\ncarries = \"{carries}\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"127.0.0.1\"\n\
                 port = {port}\npath = \"/act\"\nnot_done = [422]\nlater = [503]\n"
            )
        };
        let key = "idempotency_header = \"Idempotency-Key\"\n";
        let params = "json = { text = \"{param.text}\" }\n";
        [
            head("social", "post") + "json = { text = \"{text}\" }\nomit = [\"network\"]\n",
            "[social.read_back]\npath = \"/posts\"\nlist = \"/data\"\ntext = \"/text\"\nis_complete = true\n"
                .to_owned(),
            head("bank", "payment") + key,
            "json = { text = \"{account}\", cents = \"{amount_minor:integer}\" }\n".to_owned(),
            "omit = [\"payee\", \"reference\"]\nonly = { currency = \"EUR\" }\n".to_owned(),
            "[bank.ask]\npath = \"/by-key/{idempotency_key}\"\nfield = \"/state\"\nis = [\"done\"]\n".to_owned(),
            head("keyed", "http") + key + params,
            head("plain", "http") + params,
        ]
        .concat()
    }
}

async fn serve(mut stream: TcpStream) {
    let Some(request) = heard(&mut stream).await else { return };
    let Some((status, body)) = answer(&request) else { return };
    failpoint::reached("the service acted, its answer not sent");
    let head = format!("HTTP/1.1 {status} As it is\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
}

async fn heard(stream: &mut TcpStream) -> Option<String> {
    let mut request = String::new();
    loop {
        let mut block = [0; 4096];
        let length = stream.read(&mut block).await.ok().filter(|length| *length > 0)?;
        request.push_str(std::str::from_utf8(&block[..length]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let expected = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= expected {
            return Some(request);
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Status and body; none where it hangs up.
fn answer(request: &str) -> Option<(u16, String)> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let path = head.split(' ').nth(1).unwrap();
    if path == "/posts" {
        let posts = failpoint::with(|stage| stage.texts.clone());
        let posts: Vec<_> = posts.iter().map(|text| json!({ "text": text })).collect();
        return Some((200, json!({ "data": posts }).to_string()));
    }
    if let Some(key) = path.strip_prefix("/by-key/") {
        let is_known = failpoint::with(|stage| stage.keys.contains(key));
        return Some(if is_known { (200, json!({ "state": "done" }).to_string()) } else { (404, String::new()) });
    }
    let text = serde_json::from_str::<serde_json::Value>(body).unwrap()["text"].as_str().unwrap().to_owned();
    let key = header(head, "idempotency-key").map(str::to_owned);
    act(key, text).map(|status| (status, String::new()))
}

fn act(key: Option<String>, text: String) -> Option<u16> {
    failpoint::with(|stage| {
        stage.asked += 1;
        if key.as_ref().is_some_and(|key| stage.keys.contains(key)) {
            // Taken under this key before: the same answer, and nothing more is done.
            return Some(201);
        }
        match stage.provider {
            Provider::Refuses => return Some(422),
            Provider::TakesLater if stage.asked == 1 => return Some(503),
            Provider::Takes | Provider::TakesLater | Provider::TakesUnheard => {}
        }
        *stage.taken.entry(stage.asked_for.unwrap()).or_default() += 1;
        stage.keys.extend(key);
        stage.texts.push(text);
        (stage.provider != Provider::TakesUnheard).then_some(201)
    })
}
