//! Answers of memcached servers, in three protocols: they say the same however they are cut into packets, and what is
//! awaited is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use saccade::identity::keystone::fuzzing::{Answer, Dialect, Step, address, answer, login_answer};
use saccade_fuzz::{text, within};

const KEY: &str = "tokens/k";
const OPAQUE: u32 = 0x0102_0304;

fuzz_target!(|input: &[u8]| {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let dialect = [Dialect::Meta, Dialect::Classic, Dialect::Binary][usize::from(how & 3) % 3];
    let set = how & 4 != 0;
    let login = dialect == Dialect::Binary && how & 8 != 0;
    let set = set || login;
    let answer = |bytes: &[u8]| match login {
        true => login_answer(OPAQUE, bytes),
        false => answer(dialect, KEY, set, OPAQUE, bytes),
    };
    let step = within(4096 + 2 * bytes.len(), || answer(bytes));
    match &step {
        Step::Partial(missing) => assert!((1..=(1 << 20) + 1024).contains(missing)),
        Step::Complete {
            answer: found,
            length,
        } => {
            assert!(*length <= bytes.len());
            assert_eq!(
                answer(&bytes[..*length]),
                step,
                "what follows an answer changes it"
            );
            match found {
                Answer::Hit { data, .. } => {
                    assert!(!set && data.len() < *length);
                    assert!(bytes.windows(data.len().max(1)).any(|window| window == data) || data.is_empty());
                }
                Answer::Miss => assert!(!set),
                Answer::Stored => assert!(set),
                Answer::Refused => {}
            }
            for shorter in [0, 1, length / 2, length - 1] {
                match answer(&bytes[..shorter]) {
                    Step::Partial(missing) => assert!(missing <= length - shorter),
                    other => panic!("{other:?} before all has come"),
                }
            }
        }
        Step::Garbage => {
            let mut longer = bytes.to_vec();
            longer.extend_from_slice(b"\r\nEND\r\n");
            assert_eq!(answer(&longer), Step::Garbage, "garbage became an answer");
        }
    }
    if let Some(Err(shown)) = text(bytes).map(address) {
        assert!(shown.starts_with("memcached_servers: "));
    }
});
