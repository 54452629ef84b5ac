//! Tokens that are good only together with another proof (`enforce_token_bind`).
//!
//! Keystone knows one such proof, Kerberos, and has not made such tokens for years. The web server in front of
//! keystonemiddleware would check it; here is none, so a token bound to Kerberos is refused wherever binding counts.

use super::TokenBind;

/// The kind that is known, and cannot be proved here.
const KERBEROS: &str = "kerberos";

/// To what kinds of proof a token is bound; mostly none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bind(pub(super) Vec<String>);

/// Whether the token may be used without any such proof, as keystonemiddleware's `_confirm_token_bind` decides when
/// the web server has authenticated nobody.
pub(super) fn confirmed(mode: &TokenBind, Bind(kinds): &Bind) -> bool {
    match mode {
        TokenBind::Disabled => true,
        TokenBind::Permissive => !kinds.iter().any(|kind| kind == KERBEROS),
        TokenBind::Strict => kinds.is_empty(),
        // Unbound tokens are refused, and no kind of binding can be proved.
        TokenBind::Required | TokenBind::Named(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_as_keystonemiddleware_without_a_proof() {
        let kerberos = Bind(vec!["kerberos".to_owned()]);
        let unknown = Bind(vec!["x509".to_owned()]);
        let none = Bind::default();
        for (mode, of_none, of_unknown, of_kerberos) in [
            (TokenBind::Disabled, true, true, true),
            (TokenBind::Permissive, true, true, false),
            (TokenBind::Strict, true, false, false),
            (TokenBind::Required, false, false, false),
            (TokenBind::Named("kerberos".to_owned()), false, false, false),
            (TokenBind::Named("x509".to_owned()), false, false, false),
        ] {
            assert_eq!(confirmed(&mode, &none), of_none, "{mode:?}");
            assert_eq!(confirmed(&mode, &unknown), of_unknown, "{mode:?}");
            assert_eq!(confirmed(&mode, &kerberos), of_kerberos, "{mode:?}");
        }
    }
}
