//! A service over HTTP on loopback, for as long as the test runs.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// What a caller asked.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers each caller, many at once; its port.
pub(crate) fn serve(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let asked = asked(&mut stream);
                answer(&asked, stream.get_mut());
            });
        }
    });
    port
}

fn asked(stream: &mut BufReader<TcpStream>) -> Asked {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|read| read > 0) {
        let last = head.lines().next_back().unwrap_or_default().to_ascii_lowercase();
        length = last.strip_prefix("content-length: ").map_or(length, |length| length.parse().expect("a length"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the body");
    Asked { head, body: String::from_utf8_lossy(&body).into_owned() }
}

/// An answer with a body of JSON.
pub(crate) fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
