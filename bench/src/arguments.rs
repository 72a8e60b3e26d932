//! The words behind the command, taken one by one; what is left over is an error.

use std::str::FromStr;

/// Arguments that nobody has taken yet.
pub(crate) struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    /// The arguments of this process, without its name.
    pub(crate) fn of_process() -> Self {
        Self { words: std::env::args().skip(1).collect() }
    }

    /// These words, as a test gives them.
    #[cfg(test)]
    pub(crate) fn of_words(words: Vec<String>) -> Self {
        Self { words }
    }

    /// The next word that is not an option, if it comes first.
    pub(crate) fn command(&mut self) -> Option<String> {
        let is_option = self.words.first()?.starts_with('-');
        (!is_option).then(|| self.words.remove(0))
    }

    /// Whether `--name` was given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.map(|at| self.words.remove(at)).is_some()
    }

    /// The value behind `--name`.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 == self.words.len() {
            return Err(format!("{name} needs a value"));
        }
        let word = self.words.remove(at + 1);
        self.words.remove(at);
        word.parse().map(Some).map_err(|_| format!("{name} cannot be {word:?}"))
    }

    /// The comma-separated words behind `--name`; empty when it was not given.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<String>, String> {
        let value: Option<String> = self.value(name)?;
        Ok(value.map_or_else(Vec::new, |v| v.split(',').map(str::to_owned).collect()))
    }

    /// What nobody has taken yet, to be handed on.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.words.clone()
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.words.first() {
            Some(word) => Err(format!("unknown argument {word:?}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments { words: line.split_whitespace().map(str::to_owned).collect() }
    }

    #[test]
    fn words_are_taken_in_any_order() {
        let mut given = arguments("http --quick --rounds 7 --columns a,b");
        assert_eq!(given.command().as_deref(), Some("http"));
        assert_eq!(given.value("--rounds"), Ok(Some(7_u32)));
        assert!(given.flag("--quick") && !given.flag("--quick"));
        assert_eq!(given.list("--columns"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(given.value::<u32>("--seconds"), Ok(None));
        assert_eq!(given.finish(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(arguments("--help").command(), None);
        assert!(arguments("--rounds").value::<u32>("--rounds").is_err());
        assert!(arguments("--rounds x").value::<u32>("--rounds").is_err());
        assert!(arguments("--round 5").finish().is_err());
    }
}
