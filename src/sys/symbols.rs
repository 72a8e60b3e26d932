//! Which function an address belongs to, found without memory, locks or files: for processes that
//! are about to end. Whatever that takes is made ready while all is well.

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use memmap2::Mmap;

/// Everything that holds code in this process, as it was when `prepare` was called last.
static MODULES: OnceLock<Vec<Module>> = OnceLock::new();

/// The executable or a library.
struct Module {
    /// The name of its file, without the folders.
    name: String,
    /// What is added to the addresses in its file.
    bias: usize,
    /// The addresses of its code.
    code: Vec<(usize, usize)>,
    /// The functions that its file names.
    functions: Option<Functions>,
}

/// Makes ready what `Place` needs. The first call counts; a fork has it too.
pub(super) fn prepare() {
    MODULES.get_or_init(|| {
        let mut modules = Vec::new();
        // SAFETY: `note` takes the modules that `data` points to, and nobody else has them while
        // this call lasts.
        unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut modules).cast()) };
        modules
    });
}

/// Adds one module to the list that `data` points to.
///
/// # Safety
/// For dl_iterate_phdr alone, with a `Vec<Module>` as `data` that nobody else uses meanwhile.
unsafe extern "C" fn note(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the loader gives a valid description, and `prepare` its own list.
    let (info, modules) = unsafe { (&*info, &mut *data.cast::<Vec<Module>>()) };
    // SAFETY: the loader's names end with NUL and stay while their module does.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) }.to_string_lossy();
    let headers =
        // SAFETY: the loader says how many headers there are.
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let bias = info.dlpi_addr as usize;
    let is_code = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0
    };
    let code = headers.iter().filter(is_code).map(|header| {
        let start = bias + header.p_vaddr as usize;
        (start, start + header.p_memsz as usize)
    });
    // The executable comes first and has no name.
    let path = if name.is_empty() { "/proc/self/exe" } else { &*name };
    let shown = match Path::new(&*name).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => "executable".to_owned(),
    };
    let functions = Functions::of(path).ok().flatten();
    modules.push(Module { name: shown, bias, code: code.collect(), functions });
    0
}

/// The symbols of a file.
struct Functions {
    file: Mmap,
    symbols: (usize, usize),
    names: (usize, usize),
}

impl Functions {
    /// `None` if the file has none.
    fn of(path: &str) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        // SAFETY: nobody may change an executable or a library that runs (ETXTBSY, or a rename in
        // its place); whoever manages to costs a process that is ending its last words.
        let file = unsafe { Mmap::map(&file)? };
        let section = |wanted: u32| {
            let bytes = &file[..];
            let count = usize::from(u16_at(bytes, 0x3c)?);
            let table = usize::try_from(u64_at(bytes, 0x28)?).ok()?;
            let header =
                |index: usize| bytes.get(table.checked_add(index * SECTION)?..)?.get(..SECTION);
            let range = |header: &[u8]| {
                let (start, length) = (u64_at(header, 0x18)?, u64_at(header, 0x20)?);
                let end = usize::try_from(start.checked_add(length)?).ok()?;
                (end <= bytes.len()).then_some((usize::try_from(start).ok()?, end))
            };
            let is_wanted = |header: &&[u8]| u32_at(header, 4) == Some(wanted);
            let symbols = (0..count).filter_map(header).find(is_wanted)?;
            let names = header(usize::try_from(u32_at(symbols, 0x28)?).ok()?)?;
            Some((range(symbols)?, range(names)?))
        };
        if file.get(..6) != Some(b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let found = section(ALL_SYMBOLS).or_else(|| section(EXPORTED_SYMBOLS));
        Ok(found.map(|(symbols, names)| Self { file, symbols, names }))
    }

    /// The name of the function that has this address in the file.
    fn name(&self, address: u64) -> Option<&str> {
        let symbols = &self.file[self.symbols.0..self.symbols.1];
        let mut symbols = symbols.chunks_exact(SYMBOL);
        let holds = |symbol: &&[u8]| {
            let start = u64_at(symbol, 8).unwrap_or(u64::MAX);
            let length = u64_at(symbol, 16).unwrap_or(0);
            symbol[4] & 0xf == FUNCTION && address >= start && address - start < length
        };
        let name = usize::try_from(u32_at(symbols.find(holds)?, 0)?).ok()?;
        let names = self.file[self.names.0..self.names.1].get(name..)?;
        std::str::from_utf8(CStr::from_bytes_until_nul(names).ok()?.to_bytes()).ok()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Where a process stands, or has called from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// An address of code.
    pub(super) address: usize,
    /// Whether the call lies before it.
    pub(super) is_return: bool,
}

/// The function as far as it is known, and what `addr2line -e` takes.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.wrapping_sub(usize::from(self.is_return));
        let holds = |module: &&Module| {
            module.code.iter().any(|&(start, end)| (start..end).contains(&address))
        };
        let Some(module) = MODULES.get().and_then(|modules| modules.iter().find(holds)) else {
            return write!(f, "{address:#x}");
        };
        let in_file = address - module.bias;
        let functions = module.functions.as_ref();
        if let Some(name) = functions.and_then(|functions| functions.name(in_file as u64)) {
            write!(f, "{:#} ", rustc_demangle::demangle(name))?;
        }
        write!(f, "({}+{in_file:#x})", module.name)
    }
}

/// Bytes of a section header, and of a symbol.
const SECTION: usize = 64;
const SYMBOL: usize = 24;
/// The kinds of the two sections with symbols.
const ALL_SYMBOLS: u32 = 2;
const EXPORTED_SYMBOLS: u32 = 11;
/// The kind of a symbol that is a function.
const FUNCTION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn known() -> &'static str {
        "a function of this file"
    }

    #[test]
    fn a_function_of_this_program_has_its_name() {
        prepare();
        assert!(!known().is_empty());
        let address = known as *const () as usize;
        let shown = Place { address, is_return: false }.to_string();
        assert!(shown.contains("sys::symbols::tests::known "), "{shown}");
        assert!(shown.contains("(executable+0x"), "{shown}");
        let behind = Place { address, is_return: true }.to_string();
        assert!(!behind.contains("tests::known "), "{behind}");
    }

    #[test]
    fn one_of_a_library_has_its_file() {
        prepare();
        let address = libc::getpid as *const () as usize;
        let shown = Place { address, is_return: false }.to_string();
        assert!(shown.contains("+0x"), "{shown}");
    }

    #[test]
    fn what_is_no_code_is_a_number() {
        prepare();
        assert_eq!(Place { address: 0x10, is_return: false }.to_string(), "0x10");
        assert_eq!(Place { address: 0, is_return: true }.to_string(), "0xffffffffffffffff");
    }

    #[test]
    fn what_is_no_program_has_no_functions() {
        let path = std::env::temp_dir().join(format!("corewise-symbols-{}", std::process::id()));
        for bytes in [
            &b"no program"[..],
            b"\x7fELF\x02\x01",
            &[b"\x7fELF\x02\x01", &[0xff; 90][..]].concat(),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Functions::of(path.to_str().unwrap()).unwrap().is_none());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
