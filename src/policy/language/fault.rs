//! What is wrong with a rule.

/// Why a rule, or one check of it, denies where its author may have meant something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not an expression.
    #[error("it is not a valid expression")]
    Syntax,
    /// It is longer than [`MAX_RULE_BYTES`](super::MAX_RULE_BYTES).
    #[error("it is longer than {} bytes", super::MAX_RULE_BYTES)]
    TooLong,
    /// It nests deeper than [`MAX_NESTING`](super::MAX_NESTING).
    #[error("parentheses and `not` nest deeper than {}", super::MAX_NESTING)]
    TooDeep,
    /// A check has no colon.
    #[error("the check `{0}` is not of the form `left:right`")]
    NoColon(String),
    /// The left side of a check is nothing that could be looked up or compared.
    #[error("the left side `{0}` is neither a name nor a string, whole number, True, False or None")]
    Left(String),
    /// A percent sign is not part of `%(key)s` or `%%`.
    #[error("`{0}` has a percent sign that is not part of `%(key)s` or `%%`")]
    Conversion(String),
    /// A check at another server.
    #[error("remote checks (`{0}`) are not supported")]
    Remote(String),
    /// It refers to a rule that nobody defined; the default rule stands in, or nothing.
    #[error("it refers to `rule:{0}`, which is not defined; the default rule is used instead")]
    Undefined(String),
    /// It refers to a rule that nobody defined, nor is there a default rule.
    #[error("it refers to `rule:{0}`, which is not defined")]
    UndefinedWithoutDefault(String),
    /// It refers to itself.
    #[error("it refers to itself through `rule:{0}`")]
    Cycle(String),
    /// It goes through more than [`MAX_DEPTH`](super::MAX_DEPTH) levels of rules and parentheses.
    #[error("its references go deeper than {} levels", super::MAX_DEPTH)]
    TooManyLevels,
}
