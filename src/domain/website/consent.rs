//! The words in which a website asks for consent to its own cookies, as against those of whoever bakes cookies, sells such
//! dialogs, or writes about them.

/// What is said of this very site.
const OF_THIS_SITE: [&str; 62] = [
    "we use cookies",
    "we also use cookies",
    "we use some essential cookies",
    "we use essential cookies",
    "we use optional cookies",
    "we use necessary cookies",
    "we would also like to use analytics cookies",
    "like to set additional cookies",
    "we use technologies to store",
    "we use technologies like cookies",
    "we and our partners",
    "we and our vendors",
    "we and selected third parties",
    "our partners and we",
    "this website uses cookies",
    "this site uses cookies",
    "our website uses cookies",
    "our site uses cookies",
    "this website makes use of cookies",
    "this website uses technologies",
    "you agree to our use of cookies",
    "you consent to our use of cookies",
    "accept all cookies",
    "consent to the use of cookies",
    "store and/or access information on a device",
    "store and access device information",
    "technical storage or access",
    "we value your privacy",
    "we care about your privacy",
    "your privacy choices",
    "privacy preference center",
    "opt out of the sale of personal information",
    "manage consent preferences",
    "wir verwenden cookies",
    "wir nutzen cookies",
    "wir setzen cookies",
    "diese website verwendet cookies",
    "diese webseite verwendet cookies",
    "diese website nutzt cookies",
    "diese webseite nutzt cookies",
    "diese seite verwendet cookies",
    "unsere website verwendet cookies",
    "unsere webseite verwendet cookies",
    "wir benötigen ihre zustimmung",
    "wir und unsere partner",
    "nous utilisons des cookies",
    "nous utilisons des traceurs",
    "ce site utilise des cookies",
    "notre site utilise des cookies",
    "nos partenaires et nous",
    "nous et nos partenaires",
    "utilizamos cookies",
    "usamos cookies",
    "este sitio utiliza cookies",
    "este sitio web utiliza cookies",
    "esta web utiliza cookies",
    "utilizziamo i cookie",
    "questo sito utilizza i cookie",
    "wij gebruiken cookies",
    "deze website gebruikt cookies",
    "używamy plików cookie",
    "vi använder cookies",
];
/// One of these is in each of those; most texts have none.
const HINTS: [&str; 15] = [
    "cookie",
    "クッキー",
    "consent",
    "privacy",
    "partner",
    "vendor",
    "third part",
    "technolog",
    "traceur",
    "parten",
    "technical storage",
    "on a device",
    "device information",
    "personal information",
    "zustimmung",
];
/// The same where words are not parted by spaces.
const OF_THIS_SITE_CJK: [&str; 10] = [
    "本网站使用cookie",
    "我们使用cookie",
    "本站使用cookie",
    "本網站使用cookie",
    "我們使用cookie",
    "使用cookie来",
    "使用cookie來",
    "当サイトではcookie",
    "当サイトはcookie",
    "クッキーを使用して",
];
const TOPICS: [&str; 15] = [
    "cookie",
    "consent",
    "privacy",
    "tracking",
    "datenschutz",
    "privatsphäre",
    "einwilligung",
    "traceurs",
    "vie privée",
    "privacidad",
    "隐私",
    "隱私",
    "クッキー",
    "プライバシー",
    "toestemming",
];
const CHOICES: [&str; 24] = [
    "accept",
    "reject",
    "decline",
    "allow all",
    "agree",
    "only necessary",
    "preferences",
    "akzeptier",
    "ablehnen",
    "zustimm",
    "einstellungen",
    "accepter",
    "refuser",
    "paramétrer",
    "aceptar",
    "rechazar",
    "accetta",
    "rifiuta",
    "接受",
    "同意",
    "拒绝",
    "拒絕",
    "accepteren",
    "weigeren",
];
/// From how many characters on a text is more than such a dialog says.
const LONGEST: usize = 20_000;

/// Whether the text says of the site that it stands on that it wants to keep or read something.
pub fn speaks_of_this_site(text: &str) -> bool {
    let lower = text.to_lowercase();
    if !HINTS.iter().any(|hint| lower.contains(hint)) {
        return false;
    }
    let lower = lower.replace('\u{a0}', " ");
    if OF_THIS_SITE.iter().any(|phrase| lower.contains(phrase)) {
        return true;
    }
    let tight = || lower.split_whitespace().collect::<String>();
    !text.is_ascii() && OF_THIS_SITE_CJK.iter().any(|phrase| tight().contains(phrase))
}

/// Whether the text has what such a dialog is about, and something to choose.
pub fn offers_a_choice(text: &str) -> bool {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    text.len() <= LONGEST && has(&TOPICS) && has(&CHOICES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_speaks_of_its_own_cookies_is_told_from_others() {
        for text in [
            "We use cookies to give you the best experience.",
            "This website uses cookies. By going on you agree.",
            "Wir verwenden Cookies, um Inhalte zu personalisieren.",
            "Avec votre accord, nos partenaires et nous utilisons des traceurs",
            "本网站使用 Cookie 来改善您的浏览体验。",
            "The technical storage or access that is used exclusively for statistical purposes.",
        ] {
            assert!(speaks_of_this_site(text), "{text}");
        }
        for phrase in OF_THIS_SITE {
            assert!(HINTS.iter().any(|hint| phrase.contains(hint)), "{phrase}");
        }
        for text in [
            "Our cookies are made with butter.",
            "Zustimma asks your visitors for consent before a cookie is set.",
            "Websites that use cookies for ads need consent.",
            "Cookie banners in forty languages",
            "How browsers keep cookies: an introduction.",
        ] {
            assert!(!speaks_of_this_site(text), "{text}");
        }
    }
}
