//! What is said to a memcached and what it may answer, whichever protocol it is said in. Bytes only, no I/O.

use std::time::Duration;

use super::{binary, text};

/// The largest value that is stored or believed: memcached's own default, and python-memcached's.
pub(super) const MAX_VALUE: usize = 1 << 20;

/// A memcached's protocols, as far as they are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Text, reading with the meta command `mg`, which tells how long an entry will live (memcached 1.6).
    Meta,
    /// Text, reading with `get`.
    Classic,
    /// Binary: the one that knows SASL.
    Binary,
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command<'c> {
    /// Read an entry.
    Get {
        /// Its name.
        key: &'c str,
    },
    /// Write an entry.
    Set {
        /// Its name.
        key: &'c str,
        /// Its value.
        value: &'c [u8],
        /// What kind of value it is.
        flags: u32,
        /// How long it lives, in whole seconds.
        seconds: u32,
    },
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The entry exists.
    Hit(Value),
    /// It does not.
    Miss,
    /// It was written.
    Stored,
    /// It was not done.
    Refused(Refusal),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Its bytes.
    pub(super) data: Vec<u8>,
    /// What kind of value its writer says it is.
    pub(super) flags: u32,
    /// How long it will live, where the server tells it.
    pub(super) remaining: Option<Duration>,
}

/// Why a server did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the command.
    Unknown,
    /// It wants SASL first, or other credentials.
    Unauthenticated,
    /// It cannot now: no memory, too large, busy.
    Unable,
}

/// How far an answer has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not all of it: as many bytes at least are missing. Never 0, and bounded by [`MAX_VALUE`] and a line or two.
    Partial(usize),
    /// All of it.
    Complete {
        /// What it says.
        answer: Answer,
        /// Its length in bytes.
        length: usize,
    },
}

/// Bytes that no memcached answers to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbage;

impl Dialect {
    /// `command`, to be sent; `opaque` comes back with the answer where the protocol has room for it.
    pub(super) fn request(self, command: &Command<'_>, opaque: u32) -> Vec<u8> {
        match self {
            Self::Meta | Self::Classic => text::request(self == Self::Meta, command),
            Self::Binary => binary::request(command, opaque),
        }
    }

    /// What `bytes`, all that came in since, say to it.
    ///
    /// # Errors
    /// [`Garbage`]: whatever comes after them, it is no answer.
    pub(super) fn answer(
        self,
        command: &Command<'_>,
        opaque: u32,
        bytes: &[u8],
    ) -> Result<Progress, Garbage> {
        match self {
            Self::Meta | Self::Classic => text::answer(self == Self::Meta, command, bytes),
            Self::Binary => binary::answer(command, opaque, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::Secret;
    use super::super::super::options::Sasl;
    use super::*;
    use proptest::prelude::*;

    const DIALECTS: [Dialect; 3] = [Dialect::Meta, Dialect::Classic, Dialect::Binary];
    const GET: Command<'_> = Command::Get { key: "tokens/ab" };
    const SET: Command<'_> = Command::Set {
        key: "tokens/ab",
        value: br#"{"token": 1}"#,
        flags: 16,
        seconds: 300,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hit(flags: u32, remaining: Option<u64>) -> Answer {
        Answer::Hit(Value {
            data: br#"{"token": 1}"#.to_vec(),
            flags,
            remaining: remaining.map(Duration::from_secs),
        })
    }

    /// What memcached 1.6.18 says to [`GET`] and [`SET`] with the opaque 7, and what it means.
    fn answers() -> Vec<(Dialect, Command<'static>, Vec<u8>, Answer)> {
        let text =
            |dialect, command, bytes: &str, answer| (dialect, command, bytes.as_bytes().to_vec(), answer);
        let binary = |command, bytes, answer| (Dialect::Binary, command, unhex(bytes), answer);
        let refused = Answer::Refused;
        vec![
            text(
                Dialect::Meta,
                GET,
                "VA 12 ktokens/ab f16 t298\r\n{\"token\": 1}\r\n",
                hit(16, Some(298)),
            ),
            text(
                Dialect::Meta,
                GET,
                "VA 12 ktokens/ab f0 t-1\r\n{\"token\": 1}\r\n",
                Answer::Hit(Value {
                    data: b"{\"token\": 1}".to_vec(),
                    flags: 0,
                    remaining: Some(Duration::MAX),
                }),
            ),
            text(Dialect::Meta, GET, "EN\r\n", Answer::Miss),
            text(
                Dialect::Meta,
                GET,
                "VA 12 ktokens/ab f0 t9 W X\r\n{\"token\": 1}\r\n",
                Answer::Miss,
            ),
            text(Dialect::Meta, GET, "EN ktokens/ab\r\n", Answer::Miss),
            text(Dialect::Meta, GET, "ERROR\r\n", refused(Refusal::Unknown)),
            text(
                Dialect::Meta,
                GET,
                "CLIENT_ERROR bad command line format\r\n",
                refused(Refusal::Unknown),
            ),
            text(
                Dialect::Classic,
                GET,
                "VALUE tokens/ab 16 12\r\n{\"token\": 1}\r\nEND\r\n",
                hit(16, None),
            ),
            text(Dialect::Classic, GET, "END\r\n", Answer::Miss),
            text(
                Dialect::Classic,
                GET,
                "CLIENT_ERROR unauthenticated\r\n",
                refused(Refusal::Unauthenticated),
            ),
            text(Dialect::Meta, SET, "STORED\r\n", Answer::Stored),
            text(Dialect::Classic, SET, "STORED\r\n", Answer::Stored),
            text(Dialect::Classic, SET, "NOT_STORED\r\n", refused(Refusal::Unable)),
            text(
                Dialect::Classic,
                SET,
                "SERVER_ERROR object too large for cache\r\n",
                refused(Refusal::Unable),
            ),
            binary(
                GET,
                "81000000040000000000001000000007000000000000000e000000107b22746f6b656e223a20317d",
                {
                    Answer::Hit(Value {
                        data: br#"{"token": 1}"#.to_vec(),
                        flags: 16,
                        remaining: None,
                    })
                },
            ),
            binary(
                GET,
                "8100000000000001000000090000000700000000000000004e6f7420666f756e64",
                Answer::Miss,
            ),
            binary(
                SET,
                "81010000000000000000000000000007000000000000000e",
                Answer::Stored,
            ),
            binary(
                GET,
                "81000000000000200000000d00000007000000000000000041757468206661696c7572652e",
                refused(Refusal::Unauthenticated),
            ),
        ]
    }

    #[test]
    fn answers_of_a_real_memcached_are_understood_however_they_are_cut() {
        for (dialect, command, bytes, expected) in answers() {
            for length in 0..bytes.len() {
                let progress = dialect.answer(&command, 7, &bytes[..length]);
                let Ok(Progress::Partial(missing)) = progress else {
                    panic!("{dialect:?} {length} {progress:?}");
                };
                assert!(
                    missing > 0 && missing <= bytes.len() - length,
                    "{dialect:?} {length} {missing}"
                );
            }
            let length = bytes.len();
            let complete = Progress::Complete {
                answer: expected,
                length,
            };
            assert_eq!(dialect.answer(&command, 7, &bytes), Ok(complete.clone()));
            let more = [bytes.as_slice(), b"more"].concat();
            assert_eq!(
                dialect.answer(&command, 7, &more),
                Ok(complete),
                "length of the answer alone"
            );
        }
    }

    #[test]
    fn an_answer_to_something_else_is_garbage() {
        for (dialect, command, bytes, answer) in answers() {
            if matches!(answer, Answer::Refused(_)) && dialect != Dialect::Binary {
                continue;
            }
            let other = match command {
                Command::Get { .. } => SET,
                Command::Set { .. } => GET,
            };
            assert_eq!(dialect.answer(&other, 7, &bytes), Err(Garbage), "{bytes:?}");
            if dialect == Dialect::Binary {
                assert_eq!(
                    dialect.answer(&command, 8, &bytes),
                    Err(Garbage),
                    "another opaque"
                );
            } else if bytes.windows(9).any(|word| word == b"tokens/ab") {
                let another = Command::Get { key: "tokens/abc" };
                assert_eq!(dialect.answer(&another, 7, &bytes), Err(Garbage), "another key");
            }
        }
    }

    #[test]
    fn fields_out_of_place_are_garbage() {
        for line in [
            "VA 12",
            "VA 12 ktokens/ab f16",
            "VA 12 ktokens/ab t1",
            "VA 12 f16 t1",
            "VA  ktokens/ab f16 t1",
            "VA +2 ktokens/ab f16 t1",
            "VA 12 ktokens/ab f-1 t1",
            "VA 12 ktokens/ab f16 t-2",
            "VA 12 ktokens/ab f t1",
            "VA 12 ktokens/ab f4294967296 t1",
            "VA 12 ktokens/ab f16 t1 Wx",
            "VA 12 ktokens/ab f16 t1 s12",
            "VA 12 ktokens/ab f16 t1 ",
            "VA 1048577 ktokens/ab f16 t1",
            "VALUE tokens/ab 16 12",
            "EN ktokens/abc",
            "EN ktokens/ab f1",
            "END",
            "va 12 ktokens/ab f16 t1",
            "",
            " ",
            "HD",
        ] {
            let bytes = format!("{line}\r\n{{\"token\": 1}}\r\n");
            assert_eq!(
                Dialect::Meta.answer(&GET, 7, bytes.as_bytes()),
                Err(Garbage),
                "{line}"
            );
        }
        for line in [
            "VALUE tokens/ab 16",
            "VALUE tokens/ab 16 12 9",
            "VALUE tokens/ab -1 12",
            "VALUE tokens/ab 16 1048577",
            "VALUE  tokens/ab 16 12",
            "VALUE tokens/ab 16 0x2",
            "VALUE tokens/ab 16 11",
            "VALUE tokens/ab 16 13",
            "EN",
        ] {
            let bytes = format!("{line}\r\n{{\"token\": 1}}\r\nEND\r\n");
            assert_eq!(
                Dialect::Classic.answer(&GET, 7, bytes.as_bytes()),
                Err(Garbage),
                "{line}"
            );
        }
        for header in [
            "800000000400000000000010000000070000000000000000", // a request
            "810000010400000000000010000000070000000000000000", // with a key
            "810000000800000000000010000000070000000000000000", // with other extras
            "810000000400000000000003000000070000000000000000", // shorter than its extras
            "810000000400000000100005000000070000000000000000", // longer than a value may be
            "810000000000000100000201000000070000000000000000", // a novel about a miss
            "810000000000123400000000000000070000000000000000", // an unknown status
        ] {
            let mut bytes = unhex(header);
            bytes.extend([0; 24]);
            assert_eq!(Dialect::Binary.answer(&GET, 7, &bytes), Err(Garbage), "{header}");
        }
    }

    #[test]
    fn text_requests_are_what_memcached_reads() {
        let text = |dialect: Dialect, command| String::from_utf8(dialect.request(command, 7)).unwrap();
        assert_eq!(text(Dialect::Meta, &GET), "mg tokens/ab k v f t\r\n");
        assert_eq!(text(Dialect::Classic, &GET), "get tokens/ab\r\n");
        for dialect in [Dialect::Meta, Dialect::Classic] {
            assert_eq!(
                text(dialect, &SET),
                "set tokens/ab 16 300 12\r\n{\"token\": 1}\r\n"
            );
        }
    }

    /// Made with python-binary-memcached 0.33; its opaque is always 0.
    #[test]
    fn binary_requests_are_those_of_python_binary_memcached() {
        let sasl = Sasl {
            username: "user".into(),
            password: Secret::new("pässwörd".into()),
        };
        for (request, expected) in [
            (
                Dialect::Binary.request(&GET, 0),
                "800000090000000000000009000000000000000000000000746f6b656e732f6162",
            ),
            (
                Dialect::Binary.request(&SET, 0),
                "80010009080000000000001d000000000000000000000000000000100000012c746f6b656e732f61627b22746f6b656e223a20317d",
            ),
            (
                binary::login(&sasl, 0).to_vec(),
                "802100050000000000000015000000000000000000000000504c41494e00757365720070c3a4737377c3b67264",
            ),
        ] {
            assert_eq!(hex(&request), expected);
        }
    }

    /// Whatever comes: no panic, no answer longer than what came, no endless hope.
    fn is_bounded(dialect: Dialect, command: &Command<'_>, bytes: &[u8]) -> Result<(), TestCaseError> {
        match dialect.answer(command, 7, bytes) {
            Ok(Progress::Partial(missing)) => {
                prop_assert!(missing > 0 && bytes.len() + missing <= MAX_VALUE + 1024);
            }
            Ok(Progress::Complete { length, .. }) => prop_assert!(length > 0 && length <= bytes.len()),
            Err(Garbage) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_garbage(bytes: Vec<u8>) {
            for dialect in DIALECTS {
                is_bounded(dialect, &GET, &bytes)?;
                is_bounded(dialect, &SET, &bytes)?;
            }
        }

        #[test]
        fn damaged_answers_are_answers_or_garbage(
            which: prop::sample::Index,
            at: prop::sample::Index,
            bytes in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let answers = answers();
            let (dialect, command, mut answer, _) = answers[which.index(answers.len())].clone();
            let at = at.index(answer.len());
            answer.splice(at..(at + bytes.len()).min(answer.len()), bytes);
            is_bounded(dialect, &command, &answer)?;
        }

        #[test]
        fn a_line_that_looks_like_one_is_an_answer_or_garbage(
            line in "(VA|VALUE|EN|END|STORED)( (k?tokens/ab|f?[0-9]{1,12}|t?-?[0-9]{1,3})){0,5}\r\n.{0,20}\r\n(END\r\n)?"
        ) {
            for dialect in DIALECTS {
                is_bounded(dialect, &GET, line.as_bytes())?;
            }
        }
    }
}
