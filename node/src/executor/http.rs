//! The HTTP hand: carries out one declared request, and knows afterwards whether it may have been done.
//!
//! Until the connection stands, TLS included, nothing was asked for. From then on only an answer that the declaration
//! names tells; whatever else happens, nobody knows. Redirects are never followed.

use std::{
    error::Error as _,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Duration,
};

use aiemp_keys::Secret;
use aiemp_protocol::{approval::journal::Dispatched, time::Timestamp};
use reqwest::{Client, Error, Method, Response, Url, redirect::Policy};
use tokio::time::timeout;

use super::{
    masked,
    tool::{Unwanted, why_not_any_more},
};
use crate::{
    core::mail::inert,
    hands::{Connector, LoginRequest, Request, Scheme, Verdict},
    tls,
};

/// Bytes of an answer that are read to be told.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer that is looked through for an earlier request.
const LIST_BYTES_MAX: usize = 1 << 20;
/// Words of the service that are kept.
const REASON_BYTES_MAX: usize = 300;

/// One request on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) connector: Connector,
    pub(super) request: Request,
    /// What gives the token that the request carries.
    pub(super) login: Option<LoginRequest>,
    /// When the approval ends.
    pub(super) ends: Timestamp,
    pub(super) unwanted: Unwanted,
    /// What must not show in anything that is kept.
    pub(super) secrets: Vec<Secret<String>>,
}

impl Call {
    /// Carries it out. Dropping the future after it was polled leaves the outcome unknown.
    pub(super) async fn send(&self) -> Dispatched {
        let connector = &self.connector;
        if connector.dry_run {
            let login = self.login.as_ref().map(|login| format!("{} || ", login.request.shown())).unwrap_or_default();
            let shown = format!("dry run, nothing left this machine: {login}{}", self.request.shown());
            return Dispatched::Sent(masked(&self.secrets, &shown));
        }
        let (ready, token) = match self.ready().await {
            Ok(ready) => ready,
            Err(NotReady { reason, retryable }) => return Dispatched::NotSent { reason, retryable },
        };
        // A login may have taken a while.
        if let Some((reason, retryable)) = why_not_any_more(&self.unwanted, self.ends) {
            return Dispatched::NotSent { reason: format!("{}: {reason}", self.place()), retryable };
        }
        let whole = connector.timeout * 2;
        let response = match timeout(whole, ready.send()).await {
            Err(_) => return Dispatched::Unknown(format!("{}: no answer within {}", self.place(), seconds(whole))),
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                let retryable = error.is_connect() && !is_refused_by_us(&error);
                return Dispatched::NotSent { reason: self.described(&error), retryable };
            }
            Ok(Err(error)) => return Dispatched::Unknown(self.described(&error)),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        // The status decides, and of the words what the declaration says; the rest is only told.
        let (words, is_whole) = timeout(connector.timeout, read(response, ANSWER_BYTES_MAX)).await.unwrap_or_default();
        let verdict = connector.verdict(status.as_u16(), is_whole.then_some(&words));
        let words = masked(&self.secrets, &String::from_utf8_lossy(&words));
        let words = inert::one_line(&masked(token.as_slice(), &words), REASON_BYTES_MAX);
        let answer = format!("{} answered {} {words}", self.place(), status.as_u16()).trim_end().to_owned();
        match verdict {
            Verdict::Done => Dispatched::Sent(answer),
            Verdict::NotDone => Dispatched::NotSent { reason: answer, retryable: false },
            Verdict::Later => Dispatched::NotSent { reason: answer, retryable: true },
            Verdict::Unclear if status.is_redirection() => {
                Dispatched::Unknown(format!("{answer}: it points to another address, which is never followed"))
            }
            Verdict::Unclear => Dispatched::Unknown(format!("{answer}, which the declaration does not explain")),
        }
    }

    /// Asks, where asking changes nothing: status and body, or why there is no answer.
    pub(super) async fn ask(&self) -> Result<(u16, Vec<u8>), String> {
        let (ready, _) = self.ready().await.map_err(|not_ready| not_ready.reason)?;
        let asking = async {
            let response = ready.send().await.map_err(|error| self.described(&error))?;
            let status = response.status().as_u16();
            let (body, is_whole) = read(response, LIST_BYTES_MAX).await;
            let cut = || format!("{}: the answer was cut off or is longer than {LIST_BYTES_MAX} bytes", self.place());
            is_whole.then_some((status, body)).ok_or_else(cut)
        };
        let whole = self.connector.timeout * 2;
        let late = || format!("{}: no answer within {}", self.place(), seconds(whole));
        timeout(whole, asking).await.unwrap_or_else(|_| Err(late()))
    }

    /// The request, with the token of a login where it needs one.
    async fn ready(&self) -> Result<(reqwest::RequestBuilder, Option<Secret<String>>), NotReady> {
        let at_last = |reason| NotReady { reason, retryable: false };
        let Some(login) = &self.login else {
            return Ok((self.prepare(&self.request).map_err(at_last)?, None));
        };
        let asking = async {
            let response = self.prepare(&login.request).map_err(at_last)?.send().await.map_err(|error| {
                let retryable = !error.is_builder() && !is_refused_by_us(&error);
                NotReady { reason: format!("the login: {}", self.described(&error)), retryable }
            })?;
            let status = response.status();
            let (answer, _) = read(response, ANSWER_BYTES_MAX).await;
            let token = login.token_in(&answer).filter(|_| status.is_success());
            token.ok_or_else(|| NotReady {
                reason: format!("the login of {} gave no token, but {}", self.place(), status.as_u16()),
                retryable: status.is_server_error() || status.as_u16() == 429,
            })
        };
        let late = || NotReady { reason: format!("the login of {}: no answer in time", self.place()), retryable: true };
        let token = timeout(self.connector.timeout * 2, asking).await.unwrap_or_else(|_| Err(late()))?;
        let ready = self.prepare(&self.request.with_token(&token)).map_err(at_last)?;
        Ok((ready, Some(Secret::new(token))))
    }

    fn prepare(&self, request: &Request) -> Result<reqwest::RequestBuilder, String> {
        let Request { method, origin, target, headers, body } = request;
        let url = Url::parse(&format!("{origin}{target}")).map_err(|error| format!("{origin}: {error}"))?;
        // What the parser of addresses would change is not what was declared.
        let parsed = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        if parsed != *target {
            return Err(format!("{origin}: the path would be changed on its way; declare it in its plain form"));
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let mut ready = self.client()?.request(method, url);
        for (name, value) in headers {
            ready = ready.header(name, value);
        }
        Ok(match body {
            Some(body) => ready.body(body.clone()),
            None => ready,
        })
    }

    fn client(&self) -> Result<Client, String> {
        let Connector { scheme, port, ca_file, timeout, .. } = &self.connector;
        client_to(*scheme, *port, ca_file.as_deref(), *timeout).map_err(|why| format!("{}: {why}", self.place()))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.connector.host, self.connector.port)
    }

    /// What went wrong, without the address, which may hold what nobody has to see.
    fn described(&self, error: &Error) -> String {
        let text = format!("{}: {}", self.place(), cause_of(error));
        inert::one_line(&masked(&self.secrets, &text), REASON_BYTES_MAX)
    }
}

/// A client that calls what was declared and nothing else.
pub(crate) fn client_to(scheme: Scheme, port: u16, ca_file: Option<&Path>, time: Duration) -> Result<Client, String> {
    let here = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    Client::builder()
        .tls_backend_preconfigured(tls::client_config(ca_file)?)
        .https_only(scheme == Scheme::Https)
        .http1_only()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(0)
        // Whatever looks names up: this machine is this machine.
        .resolve_to_addrs("localhost", &here)
        .connect_timeout(time)
        .build()
        .map_err(|error| cause_of(&error))
}

/// The whole chain of causes, without the address.
pub(crate) fn cause_of(error: &Error) -> String {
    let mut causes = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    if causes.is_empty() {
        return if error.is_timeout() { "no answer in time" } else { "the request failed" }.to_owned();
    }
    causes.join(": ")
}

/// Why it was not asked for anything.
struct NotReady {
    reason: String,
    retryable: bool,
}

/// The body up to a bound, and whether that is all of it.
pub(crate) async fn read(mut response: Response, bytes_max: usize) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => body.extend_from_slice(&chunk),
            Ok(None) => return (body, true),
            Ok(Some(_)) | Err(_) => return (body, false),
        }
    }
}

/// Whether this side refused the other one's TLS, as opposed to a connection that was lost: trying again is of no use.
fn is_refused_by_us(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|inner| is_refused_by_us(inner))
        || error.source().is_some_and(is_refused_by_us)
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
