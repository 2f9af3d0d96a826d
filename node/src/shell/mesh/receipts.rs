//! Receipts that the executor wrote: verified before the core hears of them.

use aiemp_keys::PublicKey;
use aiemp_protocol::{approval::Receipt, roster::RosterChain};

use crate::home::Home;

/// Every receipt that verifies, oldest first.
pub(super) fn load(home: &Home, key: Option<&PublicKey>, rosters: &RosterChain) -> Vec<Receipt> {
    let Some(key) = key else { return Vec::new() };
    let mesh = rosters.current().mesh;
    let files = std::fs::read_dir(home.receipts()).into_iter().flatten().flatten();
    let mut receipts: Vec<_> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "receipt"))
        .filter_map(|path| {
            let verified = Receipt::verify(key, mesh, &std::fs::read(&path).ok()?);
            if verified.is_err() {
                tracing::warn!(path = %path.display(), "a receipt does not verify; it is not filed");
            }
            verified.ok()
        })
        .collect();
    receipts.sort_by_key(|receipt| (receipt.at, receipt.outcome));
    receipts
}
