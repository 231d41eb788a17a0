//! Signatures of every published class of edge case: the single and the batched verdict agree, in
//! any company and at any position.
//!
//! The classes are those of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020) and of
//! ZIP-215: small-order and mixed-order `A` and `R`, non-canonical encodings of `A` and `R`,
//! `S >= L`, `S >> L`. All are made here with chosen scalars and torsion components.

mod forge;

use forge::{Forger, Sample, torsion_points};
use quorate_crypto::{Item, PublicKey, Scheme, SecretKey, Signature, WeakKey, admit_validator_key};

fn single(sample: &Sample) -> bool {
    Scheme::Ed25519.verify(&sample.key, &sample.message, &sample.signature)
}

fn batched(samples: &[&Sample]) -> Vec<bool> {
    let items: Vec<Item<'_>> = samples
        .iter()
        .map(|sample| Item { key: sample.key, message: &sample.message, signature: sample.signature })
        .collect();
    Scheme::Ed25519.verify_batch(&items)
}

fn honest(count: usize) -> Vec<Sample> {
    (0..count)
        .map(|index| {
            let key = SecretKey::from_seed([index as u8 + 1; 32]);
            let message = vec![index as u8; 40];
            let (key, signature) = (key.public(), key.sign(&message));
            Sample { class: "honest", key, message, signature, accepted: true }
        })
        .collect()
}

#[test]
fn every_class_has_the_same_verdict_alone_and_in_company_at_every_position() {
    let company = honest(9);
    for sample in Forger::new(1).every_class() {
        assert_eq!(single(&sample), sample.accepted, "{}", sample.class);
        assert_eq!(batched(&[&sample]), [sample.accepted], "{} alone", sample.class);
        for position in 0..=company.len() {
            let mut samples: Vec<&Sample> = company.iter().collect();
            samples.insert(position, &sample);
            let verdicts = batched(&samples);
            for (index, verdict) in verdicts.iter().enumerate() {
                let expected = index != position || sample.accepted;
                assert_eq!(*verdict, expected, "{} at {position}, item {index}", sample.class);
            }
        }
    }
}

#[test]
fn all_classes_in_one_batch_have_their_single_verdicts() {
    let samples = Forger::new(2).every_class();
    let all: Vec<&Sample> = samples.iter().collect();
    let accepted: Vec<bool> = all.iter().map(|sample| sample.accepted).collect();
    assert_eq!(batched(&all), accepted);
    assert!(accepted.contains(&true) && accepted.contains(&false));
}

#[test]
fn random_mixed_order_signatures_have_one_verdict_in_changing_company() {
    let mut forger = Forger::new(3);
    let company = honest(3);
    for round in 0..400 {
        let sample = forger.random_mixed_order();
        let mut samples: Vec<&Sample> = company.iter().collect();
        samples.insert(round % 4, &sample);
        assert!(single(&sample), "round {round}");
        assert_eq!(batched(&samples), [true; 4], "round {round}");
        let bad = Sample { message: b"another message".to_vec(), ..sample };
        samples[round % 4] = &bad;
        let verdicts = batched(&samples);
        assert_eq!(verdicts[round % 4], single(&bad), "round {round}");
        assert_eq!(verdicts.iter().filter(|verdict| **verdict).count(), 3, "round {round}");
    }
}

#[test]
fn a_batch_of_many_mixed_order_signatures_with_some_bad_ones_agrees_with_singles() {
    let mut forger = Forger::new(4);
    let mut samples: Vec<Sample> = (0..200).map(|_| forger.random_mixed_order()).collect();
    for index in [0, 63, 64, 127, 128, 199] {
        samples[index].message.push(0);
    }
    let singles: Vec<bool> = samples.iter().map(single).collect();
    assert_eq!(batched(&samples.iter().collect::<Vec<_>>()), singles);
    assert_eq!(singles.iter().filter(|verdict| !**verdict).count(), 6);
}

#[test]
fn a_validator_key_is_canonical_and_of_prime_order() {
    let honest = SecretKey::from_seed([9; 32]).public();
    assert_eq!(admit_validator_key(&honest), Ok(()));
    for point in torsion_points() {
        let key = PublicKey::from_bytes(point.compress().to_bytes());
        assert_eq!(admit_validator_key(&key), Err(WeakKey::SmallOrder { key }));
    }
    for (_, encoding) in forge::non_canonical_small_order() {
        let key = PublicKey::from_bytes(encoding);
        assert_eq!(admit_validator_key(&key), Err(WeakKey::NotCanonical { key }));
    }
    let key = Forger::new(5).random_mixed_order_key();
    assert_eq!(admit_validator_key(&key), Err(WeakKey::MixedOrder { key }));
    let key = PublicKey::from_bytes([2; 32]);
    assert_eq!(admit_validator_key(&key), Err(WeakKey::NotOnCurve { key }));
}

/// The published vectors are not part of the project. Where they lie beside it, they are checked.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read a file")]
fn the_published_vectors_have_their_zip_215_verdicts_where_they_are_at_hand() {
    let beside = "../../../shared/data/ed25519-speccheck-cases.json";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(beside);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("not checked: the published vectors are not at hand");
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    // Refused: S >= L, S >> L, and the case whose hash was taken over another encoding of R.
    let accepted = [0, 1, 2, 3, 4, 5, 9, 10, 11];
    let company = honest(5);
    assert_eq!(cases.len(), 12);
    for (number, case) in cases.iter().enumerate() {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let message: quorate_crypto::Digest = text("message").parse().unwrap();
        let sample = Sample {
            class: "published",
            key: text("pub_key").parse().unwrap(),
            message: message.as_bytes().to_vec(),
            signature: text("signature").parse::<Signature>().unwrap(),
            accepted: accepted.contains(&number),
        };
        assert_eq!(single(&sample), sample.accepted, "case {number}");
        let mut samples: Vec<&Sample> = company.iter().collect();
        samples.insert(number % 6, &sample);
        assert_eq!(batched(&samples)[number % 6], sample.accepted, "case {number} in a batch");
    }
}
