//! Which fonts there are, and what each is good for.
//!
//! Three small free fonts are part of the program, so that the command works on a bare machine.
//! Those of the system and of `--fonts` add variety; a face is taken when it draws the letters that
//! European and American print needs, and is sorted into a style by its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ab_glyph::{Font as _, FontVec};
use anyhow::{Context, Result, bail};

use super::dice::Dice;

/// What a font looks like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Style {
    /// All letters of one width: tills, typewriters.
    Mono,
    /// Without serifs.
    Sans,
    /// With serifs.
    Serif,
    /// Like handwriting.
    Hand,
    /// For headings and signs.
    Display,
    /// Typewriters: those of `Mono` that an office of the last century had.
    Typed,
}

enum Source {
    Own(&'static [u8]),
    File(PathBuf),
}

struct Face {
    source: Source,
    index: u32,
    bold: bool,
    font: OnceLock<Option<Arc<FontVec>>>,
}

/// All usable faces, by style and family.
pub struct Fonts {
    faces: Vec<Face>,
    families: BTreeMap<Style, Vec<Vec<usize>>>,
    /// Names in order: goes into the record of a set's settings.
    pub names: Vec<String>,
}

const OWN: [(&str, &[u8]); 3] = [
    (
        "own-mono",
        include_bytes!("../assets/fonts/Inconsolata.otf"),
    ),
    (
        "own-sans",
        include_bytes!("../assets/fonts/Cabin-Regular.otf"),
    ),
    (
        "own-hand",
        include_bytes!("../assets/fonts/ComicNeue-Regular.otf"),
    ),
];

/// Letters that a face must draw, or it would leave gaps in text that is asked about.
const NEEDED: &str =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;-/()%&#*'\"@+$!?";

/// Faces of symbols, of other scripts drawn in Latin places, or unreadable ones.
const UNUSABLE: &[&str] = &[
    "emoji",
    "symbol",
    "dingbat",
    "icon",
    "barcode",
    "braille",
    "math",
    "music",
    "misaki",
    "webdings",
    "standard symbols",
    "d050000l",
    "dseg",
    "circos",
    "lcd",
    "logo",
    "outline",
    "inline",
    "3d",
    "block",
    "train",
    "essays",
    "isabella",
    "rune",
    "elvish",
    "blank",
    "lastresort",
    "kanji",
    "zodiac",
    "ding",
    "cmex",
    "cmsy",
    "cmmi",
    "extension",
    "stixnonunicode",
    "integrals",
    "size",
    "variants",
    "staypuft",
    "thin",
    "hairline",
    "extralight",
    "ultralight",
    "aeacus",
    "eyechart",
    "illogical",
    "feta",
    "parmesan",
    "fraktur",
    "gotico",
    "blackletter",
    "upright",
];
const HAND: &[&str] = &[
    "hand",
    "script",
    "femke",
    "breip",
    "kristi",
    "dancing",
    "comic",
    "humor",
    "xkcd",
    "rufscript",
    "radisnoir",
    "ecolier",
    "tomsontalks",
    "johnsmith",
    "kaushan",
    "chancery",
    "purisa",
    "klee",
    "write",
    "joscelyn",
    "italique",
    "augie",
    "chalk",
    "pen ",
    "memory",
    "cursive",
    "caveat",
    "patrick",
    "dkg",
];
const MONO: &[&str] = &[
    "mono",
    "courier",
    "typewriter",
    "typist",
    "code",
    "consol",
    "terminus",
    "hack",
    "ocr",
    "fixed",
    "3270",
    "agave",
    "glass tty",
    "hermit",
    "cousine",
    "typo",
    "tty",
    "prestige",
    "console",
    "anonymous",
    "fira code",
];
const TYPED: &[&str] = &[
    "courier prime",
    "couriernew",
    "typewriter",
    "nimbus mono",
    "freemono",
    "cursor",
    "liberation mono",
    "cousine",
    "compagnon",
    "tlwg",
    "prestige",
];
const SERIF: &[&str] = &[
    "serif",
    "roman",
    "times",
    "garamond",
    "didot",
    "libertine",
    "gentium",
    "baskerv",
    "bookman",
    "schola",
    "palladio",
    "pagella",
    "termes",
    "bonum",
    "caladea",
    "vollkorn",
    "slab",
    "century",
    "junicode",
    "charis",
    "oldstandard",
    "old standard",
    "quattrocento roman",
    "stix",
    "pt serif",
    "cmu ",
    "baskervald",
    "compagnon",
    "nimbus roman",
    "c059",
    "p052",
    "romande",
    "accanthis",
    "berenis",
    "tribun",
    "goudy",
    "cardo",
];
const DISPLAY: &[&str] = &[
    "bebas",
    "oswald",
    "league",
    "lobster",
    "leckerli",
    "ubuntu-title",
    "title",
    "road",
    "yanone",
    "dustin",
    "aenigma",
    "play",
    "comfortaa",
    "quicksand",
    "jura",
    "impact",
    "poster",
    "condensed",
    "black",
    "display",
    "sjfonts",
    "f500",
    "universalis",
    "opendin",
    "din",
    "national park",
    "averia",
    "district",
    "dosis",
    "heavy",
];

fn style_of(name: &str, monospaced: bool) -> Option<Style> {
    let name = name.to_lowercase();
    let any = |list: &[&str]| list.iter().any(|w| name.contains(w));
    if any(UNUSABLE) {
        return None;
    }
    Some(if any(HAND) {
        Style::Hand
    } else if monospaced || any(MONO) {
        Style::Mono
    } else if any(DISPLAY) {
        Style::Display
    } else if any(SERIF) && !name.contains("sans") {
        Style::Serif
    } else {
        Style::Sans
    })
}

fn draws_all(font: &FontVec) -> bool {
    NEEDED.chars().all(|c| {
        let id = font.glyph_id(c);
        id.0 != 0 && font.outline(id).is_some()
    })
}

impl Fonts {
    /// The program's own fonts, those of the system unless `only_own`, and those of `folder`.
    ///
    /// Errors: `folder` is missing, or holds no font that can be used.
    pub fn load(folder: Option<&Path>, only_own: bool) -> Result<Self> {
        let mut db = fontdb::Database::new();
        if !only_own {
            db.load_system_fonts();
        }
        let system = db.len();
        if let Some(folder) = folder {
            std::fs::read_dir(folder)
                .with_context(|| format!("fonts folder {}", folder.display()))?;
            db.load_fonts_dir(folder);
            if db.len() == system {
                bail!("no font in {}", folder.display());
            }
        }
        let mut found = Vec::new();
        for (name, bytes) in OWN {
            found.push((
                name.to_string(),
                Source::Own(bytes),
                0,
                false,
                name == "own-mono",
            ));
        }
        for info in db.faces() {
            let fontdb::Source::File(path) = &info.source else {
                continue;
            };
            // Hairlines vanish at the sizes of small print.
            if info.style != fontdb::Style::Normal || info.weight.0 < 300 {
                continue;
            }
            let family = info.families.first().map_or("", |f| f.0.as_str());
            let name = format!("{family} {}", info.post_script_name);
            let bold = info.weight.0 >= 600;
            found.push((
                name,
                Source::File(path.clone()),
                info.index,
                bold,
                info.monospaced,
            ));
        }
        // Order of folders differs from machine to machine.
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.dedup_by(|a, b| a.0 == b.0);
        let mut fonts = Self {
            faces: Vec::new(),
            families: BTreeMap::new(),
            names: Vec::new(),
        };
        let mut groups: BTreeMap<(Style, String), Vec<usize>> = BTreeMap::new();
        for (name, source, index, bold, mono) in found {
            let Some(style) = style_of(&name, mono) else {
                continue;
            };
            let face = Face {
                source,
                index,
                bold,
                font: OnceLock::new(),
            };
            // Read once to look and again when it is used: a system may have gigabytes of fonts.
            if face.read().is_none_or(|font| !draws_all(&font)) {
                continue;
            }
            let family = name.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let lower = name.to_lowercase();
            if style == Style::Mono && TYPED.iter().any(|t| lower.contains(t)) {
                let typed = groups.entry((Style::Typed, family.clone())).or_default();
                typed.push(fonts.faces.len());
            }
            groups
                .entry((style, family))
                .or_default()
                .push(fonts.faces.len());
            fonts.names.push(name);
            fonts.faces.push(face);
        }
        for ((style, _), members) in groups {
            fonts.families.entry(style).or_default().push(members);
        }
        Ok(fonts)
    }

    /// A face of `style`, bold or regular where the family has both; every family is equally likely.
    /// A style without a face falls back to any other.
    pub fn pick(&self, dice: &mut Dice, style: Style, bold: bool) -> FaceId {
        let fallback = || self.families.values().next();
        let Some(families) = self.families.get(&style).or_else(fallback) else {
            return FaceId(0);
        };
        let family = &families[dice.index(families.len())];
        let fit: Vec<usize> = family
            .iter()
            .copied()
            .filter(|&i| self.faces[i].bold == bold)
            .collect();
        let list = if fit.is_empty() { family } else { &fit };
        FaceId(list[dice.index(list.len())])
    }

    /// The bold (or regular) sister of a face, or the face itself.
    pub fn sister(&self, of: FaceId, bold: bool) -> FaceId {
        let family = self.families.values().flatten().find(|f| f.contains(&of.0));
        let sister = family.and_then(|f| f.iter().find(|&&i| self.faces[i].bold == bold));
        sister.map_or(of, |&i| FaceId(i))
    }

    /// The face itself; `load` made sure that it can be read.
    pub fn face(&self, id: FaceId) -> Result<Arc<FontVec>> {
        self.faces[id.0].load().context("a font file went away")
    }

    /// How many faces each style has.
    pub fn census(&self) -> String {
        let count = |(style, families): (&Style, &Vec<Vec<usize>>)| {
            let faces: usize = families.iter().map(Vec::len).sum();
            format!("{style:?} {} families, {faces} faces", families.len())
        };
        self.families
            .iter()
            .map(count)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Face {
    fn read(&self) -> Option<FontVec> {
        let bytes = match &self.source {
            Source::Own(bytes) => bytes.to_vec(),
            Source::File(path) => std::fs::read(path).ok()?,
        };
        FontVec::try_from_vec_and_index(bytes, self.index).ok()
    }

    fn load(&self) -> Option<Arc<FontVec>> {
        self.font.get_or_init(|| self.read().map(Arc::new)).clone()
    }
}

/// A face of `Fonts`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FaceId(usize);
