//! What is shown of a text that a foreign server has sent.

/// The longest excerpt, in characters.
const LONGEST: usize = 200;

/// The beginning of a server's text, on one line, without these secrets: some servers repeat what they were sent.
///
/// What is not shown is taken out before the text is cut, so that no part of it is left at the end. Secrets that are empty are
/// passed over.
pub fn excerpt(text: &str, secrets: &[&str]) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut secrets: Vec<&str> = secrets
        .iter()
        .copied()
        .filter(|secret| !secret.is_empty())
        .collect();
    // One may hold another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        text = text.replace(secret, "…");
    }
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_at_the_cut_is_taken_out_whole() {
        for before in 190..=201 {
            let text = format!("{}verysecret is wrong", "a".repeat(before));
            let shown = excerpt(&text, &["verysecret"]);
            assert!(!shown.contains('v') && shown.chars().count() <= 200, "{shown}");
        }
    }

    #[test]
    fn a_secret_in_pieces_or_within_another_is_taken_out() {
        assert_eq!(excerpt("very\u{0}secret\nline", &["verysecret"]), "…line");
        assert_eq!(
            excerpt("verysecret, secret", &["secret", "", "verysecret"]),
            "…, …"
        );
    }

    proptest! {
        #[test]
        fn no_excerpt_holds_a_secret(before in "[a-z ]{0,250}", secret in "[A-Z0-9+/]{4,60}", after in "\\PC{0,100}") {
            let shown = excerpt(&format!("{before}{secret}{after}"), &[&secret]);
            let beginning: String = secret.chars().take(4).collect();
            prop_assert!(!shown.contains(&beginning) || after.contains(&beginning));
        }
    }
}
