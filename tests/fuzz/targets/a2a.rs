//! The target `a2a` of the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aiemp_tests::fuzz::a2a(bytes));
