//! What an application says about a pool: what is loaded, and what is called when.

use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::handler::{Loaded, StateType};

/// The code of a pool: what its workers load, and what is called in their lives. How many workers
/// there are and where they run comes from the configuration, `[pool.NAME]`.
///
/// ```
/// use corewise::{App, Pool};
///
/// struct Tables { squares: Vec<u64> }
///
/// fn load() -> Result<Tables, std::num::TryFromIntError> {
///     Ok(Tables { squares: (0..1000).map(|number| number * number).collect() })
/// }
///
/// let cpu = Pool::new().on_load(load).warm(|tables| assert_eq!(tables.squares[9], 81));
/// let app = App::new().pool("cpu", cpu);
/// ```
///
/// One process, the template, calls `on_load`; every worker is a fork of it and shares its memory.
/// So what is loaded must not start threads. In the order of a worker's life:
///
/// | hook | where | how often |
/// |---|---|---|
/// | `on_load` | the template (a worker with `preload = "off"`) | once |
/// | `before_fork` | the template | before each worker |
/// | `after_fork` | the worker | once, before its executor starts |
/// | `warm` | the worker | once, on its executor |
/// | `on_ready` | the worker | once, just before it says that it is ready |
/// | `on_exit` | the worker | once, when it leaves in good order |
///
/// A hook that returns an error or panics is reported with its text. At the start an error of
/// `on_load` is final; one of the others costs the worker, which is tried again.
pub struct Pool<S = ()> {
    on_load: Box<dyn Fn() -> Result<S, String>>,
    before_fork: Option<Box<HookFn<S>>>,
    after_fork: Option<Box<AfterForkFn<S>>>,
    warm: Option<Box<HookFn<S>>>,
    on_ready: Option<Box<HookFn<S>>>,
    on_exit: Option<Box<HookFn<S>>>,
}

type HookFn<S> = dyn Fn(&S) -> Result<(), String>;
type AfterForkFn<S> = dyn Fn(&mut S) -> Result<(), String>;

/// What a hook may return: nothing, or an error that says what went wrong.
pub trait HookOutcome {
    /// The same with the error as text.
    fn outcome(self) -> Result<(), String>;
}

impl HookOutcome for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> HookOutcome for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

impl Pool {
    /// A pool that loads nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            on_load: Box::new(|| Ok(())),
            before_fork: None,
            after_fork: None,
            warm: None,
            on_ready: None,
            on_exit: None,
        }
    }

    /// Load what the handlers and the other hooks of this pool get.
    #[must_use]
    pub fn on_load<S: 'static, E: Display>(
        self,
        load: impl Fn() -> Result<S, E> + 'static,
    ) -> Pool<S> {
        Pool {
            on_load: Box::new(move || load().map_err(|error| error.to_string())),
            before_fork: of_nothing(self.before_fork),
            after_fork: self
                .after_fork
                .map(|hook| -> Box<AfterForkFn<S>> { Box::new(move |_| hook(&mut ())) }),
            warm: of_nothing(self.warm),
            on_ready: of_nothing(self.on_ready),
            on_exit: of_nothing(self.on_exit),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

/// A hook that was given before there was anything to give it.
fn of_nothing<S>(hook: Option<Box<HookFn<()>>>) -> Option<Box<HookFn<S>>> {
    hook.map(|hook| -> Box<HookFn<S>> { Box::new(move |_| hook(&())) })
}

impl<S: 'static> Pool<S> {
    /// Called in the template before each worker: to put away what two processes must not share.
    #[must_use]
    pub fn before_fork<R: HookOutcome>(mut self, hook: impl Fn(&S) -> R + 'static) -> Self {
        self.before_fork = Some(Box::new(move |state| hook(state).outcome()));
        self
    }

    /// Called in each worker first, with a copy of what was loaded that is its own: to seed, to
    /// reopen, to start threads.
    #[must_use]
    pub fn after_fork<R: HookOutcome>(mut self, hook: impl Fn(&mut S) -> R + 'static) -> Self {
        self.after_fork = Some(Box::new(move |state| hook(state).outcome()));
        self
    }

    /// Called in each worker before it is ready: to fill caches, so that no request has to.
    #[must_use]
    pub fn warm<R: HookOutcome>(mut self, hook: impl Fn(&S) -> R + 'static) -> Self {
        self.warm = Some(Box::new(move |state| hook(state).outcome()));
        self
    }

    /// Called in each worker when nothing else keeps it from being ready.
    #[must_use]
    pub fn on_ready<R: HookOutcome>(mut self, hook: impl Fn(&S) -> R + 'static) -> Self {
        self.on_ready = Some(Box::new(move |state| hook(state).outcome()));
        self
    }

    /// Called in each worker that leaves in good order, when its last job is done.
    #[must_use]
    pub fn on_exit<R: HookOutcome>(mut self, hook: impl Fn(&S) -> R + 'static) -> Self {
        self.on_exit = Some(Box::new(move |state| hook(state).outcome()));
        self
    }
}

impl<S> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A pool after the type of what it loads was erased.
#[derive(Clone)]
pub struct PoolCode {
    state: StateType,
    code: Rc<dyn Code>,
}

/// What is called with nothing but a look at what was loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hook {
    /// `before_fork`.
    BeforeFork,
    /// `warm`.
    Warm,
    /// `on_ready`.
    OnReady,
    /// `on_exit`.
    OnExit,
}

impl PoolCode {
    /// Of this pool.
    #[must_use]
    pub fn of<S: 'static>(pool: Pool<S>) -> Self {
        Self { state: StateType::of::<S>(), code: Rc::new(pool) }
    }

    /// The type of what is loaded.
    #[must_use]
    pub fn state(&self) -> StateType {
        self.state
    }

    /// Loads. The error is what went wrong, a panic included.
    pub(super) fn load(&self) -> Result<Loaded, String> {
        told("on_load", || self.code.load())
    }

    /// Calls `after_fork`, for which nobody else may hold what was loaded.
    pub(super) fn after_fork(&self, state: &mut Loaded) -> Result<(), String> {
        told("after_fork", || self.code.after_fork(state))
    }

    /// Calls one of the other hooks.
    pub(super) fn call(&self, hook: Hook, state: &Loaded) -> Result<(), String> {
        let name = match hook {
            Hook::BeforeFork => "before_fork",
            Hook::Warm => "warm",
            Hook::OnReady => "on_ready",
            Hook::OnExit => "on_exit",
        };
        told(name, || self.code.call(hook, state))
    }
}

impl fmt::Debug for PoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCode").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Calls code of the application; a panic there is an error like any other.
fn told<T>(name: &str, call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|text| format!("{name} failed: {text}")),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("{name} panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// What a pool of any type can do.
trait Code {
    fn load(&self) -> Result<Loaded, String>;
    fn after_fork(&self, state: &mut Loaded) -> Result<(), String>;
    fn call(&self, hook: Hook, state: &Loaded) -> Result<(), String>;
}

impl<S: 'static> Code for Pool<S> {
    fn load(&self) -> Result<Loaded, String> {
        Ok(Loaded::new((self.on_load)()?))
    }

    fn after_fork(&self, state: &mut Loaded) -> Result<(), String> {
        self.after_fork.as_ref().map_or(Ok(()), |hook| hook(state.get_mut()))
    }

    fn call(&self, hook: Hook, state: &Loaded) -> Result<(), String> {
        let hook = match hook {
            Hook::BeforeFork => &self.before_fork,
            Hook::Warm => &self.warm,
            Hook::OnReady => &self.on_ready,
            Hook::OnExit => &self.on_exit,
        };
        hook.as_ref().map_or(Ok(()), |hook| hook(state.get::<S>()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_hook_gets_what_was_loaded() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let noted = |name: &'static str| {
            let calls = Rc::clone(&calls);
            move |state: &u32| calls.borrow_mut().push((name, *state))
        };
        let before = {
            let calls = Rc::clone(&calls);
            move |(): &()| calls.borrow_mut().push(("before_fork", 0))
        };
        let pool = Pool::new()
            .before_fork(before)
            .on_load(|| Ok::<_, String>(7))
            .after_fork(|state| *state += 1)
            .warm(noted("warm"))
            .on_ready(noted("on_ready"))
            .on_exit(noted("on_exit"));
        let code = PoolCode::of(pool);
        assert_eq!(code.state(), StateType::of::<u32>());
        let mut state = code.load().unwrap();
        code.call(Hook::BeforeFork, &state).unwrap();
        code.after_fork(&mut state).unwrap();
        for hook in [Hook::Warm, Hook::OnReady, Hook::OnExit] {
            code.call(hook, &state).unwrap();
        }
        let expected = [("before_fork", 0), ("warm", 8), ("on_ready", 8), ("on_exit", 8)];
        assert_eq!(*calls.borrow(), expected);
    }

    #[test]
    fn what_goes_wrong_is_told_by_name() {
        let fails = Pool::new().on_load(|| Err::<(), _>("no tables"));
        assert_eq!(PoolCode::of(fails).load().unwrap_err(), "on_load failed: no tables");
        let panics = Pool::new()
            .warm(|(): &()| -> () { panic!("cold {}", 1) })
            .on_ready(|(): &()| Err("not yet"))
            .after_fork(|(): &mut ()| -> Result<(), String> { panic!("alone") });
        let code = PoolCode::of(panics);
        let mut state = code.load().unwrap();
        assert_eq!(code.after_fork(&mut state).unwrap_err(), "after_fork panicked: alone");
        assert_eq!(code.call(Hook::Warm, &state).unwrap_err(), "warm panicked: cold 1");
        let error = code.call(Hook::OnReady, &state).unwrap_err();
        assert_eq!(error, "on_ready failed: not yet");
        assert_eq!(code.call(Hook::OnExit, &state), Ok(()));
    }
}
