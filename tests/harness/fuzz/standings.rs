//! Standing approvals, the requests of the mesh, and the rows that come of both.

use aiemp_keys::cose;
use aiemp_protocol::{
    action::{self, Content},
    approval::{Bundle, Policy, Standing, Verified, standing::Request},
    roster::Role,
};

use super::{
    assert_one_line,
    seeds::{self, NOW, STANDING_DOMAIN},
};

/// Each has one encoding and one signer, and whatever is admitted is a mail to people who are listed.
pub fn standing(bytes: &[u8]) {
    let (approve, mesh) = (seeds::approve(), seeds::mesh());
    let own = seeds::standing();
    read(bytes);
    if let Some(standing) = read(&cose::sign1(&approve, STANDING_DOMAIN, &[mesh.to_value()], bytes)) {
        judge(&standing, &seeds::request());
    }
    if let Ok(request) = Request::from_bytes(bytes) {
        assert_eq!(request.to_bytes(), bytes, "{request:?}");
        assert!(Request::from_bytes(&[bytes, &[0]].concat()).is_err(), "a byte more");
        judge(&own, &request);
        judge(&Standing { text_by_cloud: true, ..own.clone() }, &request);
    }
    judge(&own, &Request { note: bytes.to_vec(), ..seeds::request() });
    if let Ok(bundle) = Bundle::from_bytes(bytes)
        && let Some(Ok(row)) = Verified::under_standing(&bundle)
    {
        check_row(&row);
    }
}

fn read(signed: &[u8]) -> Option<Standing> {
    let (approve, mesh) = (seeds::approve(), seeds::mesh());
    let verify = |bytes: &[u8]| Standing::verify(&approve.public(), mesh, bytes);
    let standing = verify(signed).ok()?;
    assert_eq!(standing.sign(&approve, mesh), signed, "{standing:?}");
    assert_eq!(standing.check(), Ok(()), "{standing:?}");
    assert!(verify(&[signed, &[0]].concat()).is_err(), "a byte more");
    assert!(Standing::verify(&seeds::node().public(), mesh, signed).is_err(), "another key");
    Some(standing)
}

/// Judges as the executor does.
fn judge(standing: &Standing, request: &Request) {
    let chain = seeds::chain();
    let roster = chain.current();
    let signed = standing.sign(&seeds::approve(), roster.mesh);
    let policy = Policy::default().digest();
    let row = match standing.admit(&signed, request.clone(), roster, roster.executor, policy, NOW) {
        Ok(row) => row,
        Err(uncovered) => return assert_one_line(&uncovered.to_string()),
    };
    let is_local = |node| roster.member(node).is_some_and(|member| member.role == Role::Local);
    let by_locals = !request.authors.is_empty() && request.authors.iter().copied().all(is_local);
    assert!(by_locals || standing.text_by_cloud, "written by {:?}", request.authors);
    assert!(request.path.key().starts_with("pending_approval/"), "{}", request.path);
    assert!(standing.in_force(roster, roster.executor, NOW).is_ok() && standing.until >= NOW);
    assert_eq!((row.bundle.file, &row.bundle.path, &row.bundle.note), (request.file, &request.path, &request.note));
    assert_eq!(row.standing.as_ref(), Some(standing));
    assert!(row.bundle.clone().verify(roster, roster.executor, NOW).is_err(), "a person's approval");
    check_row(&row);
}

/// A row goes no further than its standing approval, and comes back from the store as it is.
fn check_row(row: &Verified) {
    let standing = row.standing.as_ref().expect("under a standing approval");
    let Content::Email(email) = &row.action.content else { panic!("{:?}", row.action) };
    assert_eq!((&email.hand, &email.from), (&standing.hand, &standing.sender));
    assert!(email.attachments.is_empty());
    for to in email.to.iter().chain(&email.cc).chain(&email.bcc) {
        let address = action::address_of(to).to_ascii_lowercase();
        assert!(standing.recipients.contains(&address), "{to} is not listed");
    }
    assert_eq!((row.action.file, row.action.hash()), (action::action_id(row.bundle.file), row.decision.action));
    assert_eq!((row.decision.executor, row.decision.epoch), (standing.executor, standing.epoch));
    assert!(row.ends() <= standing.until);
    let stored = Bundle::from_bytes(&row.bundle.to_bytes()).expect("its own form");
    let again = Verified::under_standing(&stored).expect("under a standing approval").expect("its own row");
    assert_eq!((&again.decision, &again.action, again.standing.as_ref()), (&row.decision, &row.action, Some(standing)));
}
