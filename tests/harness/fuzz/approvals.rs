//! Approvals, settlements, receipts, and the bundle that carries an approval.

use aiemp_keys::cose;
use aiemp_protocol::approval::{Bundle, Decision, Receipt, Settlement};

use super::seeds::{self, APPROVAL_DOMAIN, NOW, RECEIPT_DOMAIN, SETTLEMENT_DOMAIN};

/// Each has one encoding, and a bundle that verifies holds the action that was signed.
pub fn approval(bytes: &[u8]) {
    let (approve, mesh) = (seeds::approve(), seeds::mesh());
    let chain = seeds::chain();
    if let Ok(bundle) = Bundle::from_bytes(bytes) {
        assert_eq!(bundle.to_bytes(), bytes, "{bundle:?}");
        if let Ok(verified) = bundle.verify(chain.current(), chain.current().executor, NOW) {
            assert_eq!(verified.action.hash(), verified.decision.action);
            assert_eq!(verified.decision.sign(&approve, mesh), verified.bundle.approval);
        }
    }
    let _row = Decision::from_signed_unverified(bytes);
    let context = [mesh.to_value()];
    let signed = cose::sign1(&approve, APPROVAL_DOMAIN, &context, bytes);
    if let Ok(decision) = Decision::verify(&approve.public(), mesh, &signed) {
        assert_eq!(decision.sign(&approve, mesh), signed, "{decision:?}");
        assert_eq!(Decision::from_signed_unverified(&signed), Ok(decision));
    }
    let signed = cose::sign1(&approve, SETTLEMENT_DOMAIN, &context, bytes);
    if let Ok(settlement) = Settlement::verify(&approve.public(), mesh, &signed) {
        assert_eq!(settlement.sign(&approve, mesh), signed, "{settlement:?}");
    }
    let signed = cose::sign1(&approve, RECEIPT_DOMAIN, &context, bytes);
    if let Ok(receipt) = Receipt::verify(&approve.public(), mesh, &signed) {
        assert_eq!(receipt.sign(&approve, mesh), signed, "{receipt:?}");
    }
}
