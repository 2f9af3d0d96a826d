//! The target `imap` of the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aiemp_tests::fuzz::imap(bytes));
