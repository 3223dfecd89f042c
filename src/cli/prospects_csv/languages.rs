//! Languages by the names that people give them.

use super::letters::letters;

/// Languages as people write them, in English, in German and in the language itself, with their tags; names by their [`letters`].
pub(super) const LANGUAGES: &[(&str, &str)] = &[
    ("en", "english englisch 英语 英文 英語"),
    ("de", "german deutsch 德语 德文 德語"),
    ("fr", "french français francais französisch 法语 法文 法語"),
    ("es", "spanish español espanol castellano spanisch 西班牙语"),
    ("it", "italian italiano italienisch 意大利语"),
    ("pt", "portuguese português portugues portugiesisch 葡萄牙语"),
    ("nl", "dutch nederlands niederländisch 荷兰语"),
    ("pl", "polish polski polnisch 波兰语"),
    ("cs", "czech čeština cesky česky tschechisch"),
    ("da", "danish dansk dänisch"),
    ("sv", "swedish svenska schwedisch"),
    ("nb", "norwegian norsk bokmål norwegisch"),
    ("fi", "finnish suomi finnisch"),
    ("hu", "hungarian magyar ungarisch"),
    ("ro", "romanian română romana rumänisch"),
    ("tr", "turkish türkçe turkce türkisch"),
    ("el", "greek ελληνικά griechisch"),
    ("ru", "russian русский russisch 俄语"),
    ("uk", "ukrainian українська ukrainisch"),
    ("ar", "arabic العربية arabisch"),
    ("he", "hebrew עברית hebräisch"),
    ("hi", "hindi हिनदी"),
    ("ja", "japanese 日本語 日语 日文 japanisch"),
    ("ko", "korean 한국어 韩语 koreanisch"),
    ("zh", "chinese 中文 汉语 漢語 chinesisch mandarin"),
    ("zh-Hans", "simplifiedchinese chinesesimplified 简体中文 中文简体"),
    ("zh-Hant", "traditionalchinese chinesetraditional 繁體中文 中文繁體 繁体中文"),
];

/// The tag of a language that is named in English or in itself, or that is written as programs do (`de_AT`); anything else as it is.
pub(super) fn tag(text: &str) -> String {
    let name = letters(text);
    let known = LANGUAGES.iter().find(|(_, names)| names.split(' ').any(|known| known == name));
    known.map_or_else(|| text.replace('_', "-"), |(tag, _)| (*tag).to_owned())
}
