//! Tests of certificates: what browsers demand of them, and that they come out the same again.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use proptest::prelude::*;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const SECRET: [u8; 32] = *b"a secret for tests, nothing else";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Some day in 2026.
const NOW: u64 = 1_795_300_000;

/// RFC 6979, appendix A.2.5: P-256, SHA-256, message "sample".
#[test]
fn signatures_are_deterministic_as_the_rfc_has_them() {
    let key = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let signature: Signature = SigningKey::from_slice(&key).expect("a key").sign(b"sample");
    let (r, s) = signature.split_bytes();
    assert_eq!(r[..], hex("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"));
    assert_eq!(s[..], hex("F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"));
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// If this fails, addresses printed by an older version no longer work: make it a new domain on purpose.
#[test]
fn a_secret_and_a_date_give_this_certificate_forever() {
    let certificates = Certificates::from_secret(SECRET);
    let window = certificates.window(at(NOW));
    let certificate = certificates.certificate(window);
    let digest = certificate.hash().digest().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((certificates.offset, window.0), (GOLDEN_OFFSET, GOLDEN_WINDOW));
    assert_eq!(digest, GOLDEN_HASH);
}

const GOLDEN_OFFSET: u64 = 811_746;
const GOLDEN_WINDOW: u64 = 1_730;
const GOLDEN_HASH: &str = "8c2ab4d0d1f2a6f0cde0f1603f2616b3e7fc59c30a9e0df6a65b02ead87bacfb";

#[test]
fn browsers_demands_are_met() {
    let certificates = Certificates::from_secret(SECRET);
    let certificate = certificates.certificate(certificates.window(at(NOW)));

    let (rest, parsed) = X509Certificate::from_der(certificate.der()).expect("a certificate");

    assert!(rest.is_empty());
    let validity = parsed.validity();
    let length = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert!(length < 14 * DAY as i64, "{length} s");
    assert_eq!(at(validity.not_before.timestamp() as u64), certificate.not_before());
    assert_eq!(at(validity.not_after.timestamp() as u64), certificate.not_after());
    assert_eq!(parsed.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    let point = parsed.public_key().parsed().expect("a key");
    assert!(matches!(point, x509_parser::public_key::PublicKey::EC(point) if point.key_size() == 256));
    assert!(parsed.key_usage().expect("one").expect("there").value.digital_signature());
    assert!(!parsed.basic_constraints().expect("one").expect("there").value.ca);

    let signature = Signature::from_der(&parsed.signature_value.data).expect("a signature");
    p256::ecdsa::signature::Verifier::verify(
        certificate.key.verifying_key(),
        parsed.tbs_certificate.as_ref(),
        &signature,
    )
    .expect("signed by its own key");
    let tls = certificate.certified_key().expect("TLS takes the key");
    tls.keys_match().expect("the key is that of the certificate");
}

#[test]
fn an_address_from_before_the_last_roll_names_only_what_noise_confirms() {
    let certificates = Certificates::from_secret(SECRET);
    let printed = certificates.rotation(at(NOW)).expect("a rotation");
    let later = certificates.rotation(printed.ends).expect("a rotation");

    assert_eq!(later.window, printed.window.after());
    assert_eq!(later.announced[0], printed.announced[1], "the next one's hash was already there");
    assert!(printed.announced.iter().all(|hash| later.confirmed.contains(hash)));
    assert_eq!(printed.confirmed.len(), 3);
}

#[test]
fn an_identity_has_the_same_certificates_when_it_is_loaded_again() {
    let identity = Keypair::generate_ed25519();
    let again = Keypair::from_protobuf_encoding(&identity.to_protobuf_encoding().expect("bytes"));
    let [first, second] = [identity, again.expect("a key")]
        .map(|identity| Certificates::of_identity(&identity).expect("a secret").secret);
    assert_eq!(first, second);
}

#[test]
fn clocks_that_are_far_off_do_no_harm() {
    let certificates = Certificates::from_secret([0xff; 32]);
    for time in [at(0), at(1), at(LATEST), at(u64::MAX >> 2), SystemTime::UNIX_EPOCH - Duration::from_secs(9)]
    {
        let rotation = certificates.rotation(time).expect("a rotation");
        assert!(certificates.begin(rotation.window) <= at(LATEST));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_served_certificate_is_valid_a_day_around(secret: [u8; 32], seconds in DAY * 20..LATEST - DAY * 20) {
        let certificates = Certificates::from_secret(secret);
        let window = certificates.window(at(seconds));
        let (certificate, again) = (certificates.certificate(window), certificates.certificate(window));
        prop_assert_eq!(certificate.der(), again.der());
        prop_assert!(certificate.not_before() + SKEW <= at(seconds));
        prop_assert!(at(seconds) + SKEW <= certificate.not_after());
        prop_assert!(certificates.begin(window) <= at(seconds));
        prop_assert!(at(seconds) < certificates.begin(window.after()));
    }
}
