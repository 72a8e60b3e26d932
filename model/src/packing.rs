//! States as a few machine words: a checker holds millions of them.
//!
//! A state lists its fields once, each with its width in bits; the same list packs and unpacks.

/// A packed state.
pub(crate) type Packed = [u64; 3];

/// What walks over the fields of a state: the writer reads them, the reader sets them.
pub(crate) trait Codec {
    /// A number below 2^width.
    fn bits(&mut self, value: &mut u8, width: u32);

    /// A truth value.
    fn flag(&mut self, value: &mut bool) {
        let mut bit = u8::from(*value);
        self.bits(&mut bit, 1);
        *value = bit != 0;
    }

    /// One of a list.
    fn choice<C: Choice>(&mut self, value: &mut C) {
        let mut index = value.index();
        self.bits(&mut index, C::WIDTH);
        *value = C::ALL[usize::from(index)];
    }
}

/// An enum without data, listed by [`choices!`].
pub(crate) trait Choice: Copy + 'static {
    const ALL: &'static [Self];
    const WIDTH: u32 = usize::BITS - (Self::ALL.len() - 1).leading_zeros();

    fn index(self) -> u8;
}

/// Defines enums without data that can be packed.
macro_rules! choices {
    ($($(#[$about:meta])* enum $name:ident { $($(#[$of:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$of])* $variant),+ }

        impl $crate::packing::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> u8 {
                self as u8
            }
        }
    )+};
}
pub(crate) use choices;

/// Packs fields.
#[derive(Default)]
pub(crate) struct Writer {
    words: Packed,
    at: u32,
}

impl Writer {
    pub(crate) fn packed(self) -> Packed {
        self.words
    }
}

impl Codec for Writer {
    #[inline(always)]
    fn bits(&mut self, value: &mut u8, width: u32) {
        assert!(u32::from(*value) >> width == 0, "a field is wider than it was declared");
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        self.words[word] |= u64::from(*value) << shift;
        if shift + width > 64 {
            self.words[word + 1] |= u64::from(*value) >> (64 - shift);
        }
        self.at += width;
    }
}

/// Sets fields from what was packed.
pub(crate) struct Reader {
    words: Packed,
    at: u32,
}

impl Reader {
    pub(crate) fn of(words: Packed) -> Self {
        Self { words, at: 0 }
    }
}

impl Codec for Reader {
    #[inline(always)]
    fn bits(&mut self, value: &mut u8, width: u32) {
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        let mut bits = self.words[word] >> shift;
        if shift + width > 64 {
            bits |= self.words[word + 1] << (64 - shift);
        }
        *value = (bits & ((1 << width) - 1)) as u8;
        self.at += width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    choices! {
        enum Season { Spring, Summer, Autumn, Winter, Carnival }
    }

    #[test]
    fn what_was_packed_comes_back_across_word_borders() {
        let fields: Vec<(u8, u32)> =
            (0..45).map(|n| (n % 13, 4)).chain([(1, 1), (5, 3), (0, 1)]).collect();
        let mut writer = Writer::default();
        for (mut value, width) in fields.clone() {
            writer.bits(&mut value, width);
        }
        let mut reader = Reader::of(writer.packed());
        for (value, width) in fields {
            let mut read = 0;
            reader.bits(&mut read, width);
            assert_eq!(read, value);
        }
    }

    #[test]
    fn a_choice_takes_as_few_bits_as_it_can() {
        assert_eq!(Season::WIDTH, 3);
        let (mut writer, mut season) = (Writer::default(), Season::Carnival);
        writer.choice(&mut season);
        season = Season::Spring;
        Reader::of(writer.packed()).choice(&mut season);
        assert_eq!(season, Season::Carnival);
    }

    #[test]
    #[should_panic(expected = "wider")]
    fn a_value_that_does_not_fit_is_a_defect_of_the_model() {
        Writer::default().bits(&mut 4, 2);
    }
}
