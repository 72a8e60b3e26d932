//! Ways to set the ring up, each measured against the others.

/// What is on. The default is plain: nothing below has gained more than the noise so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Accept into the table of registered files instead of descriptors.
    pub(super) direct: bool,
    /// The first receive is a single one: a connection of one request has nothing to cancel.
    pub(super) first_single: bool,
    /// The last send, the cancel and the close go in as one chain.
    pub(super) linked_close: bool,
    /// Do not count waiting in the ring as waiting for a disk.
    pub(super) no_iowait: bool,
    /// No array of indices between the kernel and the submission entries (Linux 6.6).
    pub(super) no_sqarray: bool,
    /// Wait for the cancelled receive's completion before closing.
    pub(super) patient_close: bool,
    /// Enter through a registered index instead of the ring's descriptor (Linux 5.18).
    pub(super) registered_ring: bool,
}

impl Options {
    /// Applies `name` or `without-name`, as in `--ring direct,without-no-sqarray`.
    pub(crate) fn set(&mut self, word: &str) -> Result<(), String> {
        let (name, on) = match word.strip_prefix("without-") {
            Some(name) => (name, false),
            None => (word, true),
        };
        let option = match name {
            "direct" => &mut self.direct,
            "first-single" => &mut self.first_single,
            "linked-close" => &mut self.linked_close,
            "no-iowait" => &mut self.no_iowait,
            "no-sqarray" => &mut self.no_sqarray,
            "patient-close" => &mut self.patient_close,
            "registered-ring" => &mut self.registered_ring,
            _ => return Err(format!("unknown ring option {word:?}")),
        };
        *option = on;
        Ok(())
    }
}
