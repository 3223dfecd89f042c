//! Spellings made one: what differs to the eye alone must not decide what a reply means.
//!
//! Lower case; one kind of space, quotation mark, dash and apostrophe; full-width marks as ASCII has them; letters without
//! their accents, and German umlauts as they are written where a keyboard has none; traditional Chinese characters as
//! simplified ones. Only characters that stand in the phrase tables need their pair here.

use crate::domain::text::is_chinese;

/// Pairs of a traditional character and the simplified one.
const TRADITIONAL: &str = "\
    請请閱阅發发郵邮係系繫系絡络別别勿勿訂订從从單单數数據据庫库刪删個个資资訊讯來来給给聯联騷骚擾扰煩烦寫写電电話话\
    對对這这們们們们興兴沒没無无為为麼么謝谢絕绝慮虑時时暫暂購购買买參参適适說说讓让應应該该聽听覺觉點点報报價价樣样\
    談谈見见溝沟進进後后還还盡尽與与約约間间關关於于貴贵過过紹绍幾几動动覆复復复辦办務务開开離离國国處处認认證证確确\
    遞递達达滿满誤误敗败統统機机號号產产圖图營营業业議议題题意意願愿歡欢會会樂乐專专書书長长門门問问號号誰谁裡里裏里哪哪\
    舉举圾圾銷销毀毁擬拟變变選选擇择錄录記记歷历權权撤撤隱隐實实際际雖虽卻却當当經经歡欢獲获許许條条質质銀银錢钱預预\
    算算貨货廠厂廣广東东風风險险環环麗丽遲迟週周禮礼幫帮麻麻觀观閒闲檢检查查詢询嗎吗嘗尝試试細细繼继續续終终萬万虛虚\
    縣县區区馬马車车軟软輕轻轉转連连運运遠远邊边鄰邻醫医釋释錯错鐘钟陽阳際际難难雙双雲云靈灵靜静響响頁页順顺須须顧顾\
    額额類类飛飞體体鬆松黃黄齊齐歲岁殺杀濟济構构標标療疗羅罗職职聲声腦脑藝艺蘭兰補补裝装視视計计討讨訪访設设評评詳详\
    語语調调請请論论識识譯译議议護护讀读豐丰負负責责費费貼贴賓宾賞赏賣卖賴赖輯辑農农邏逻鈴铃錶表傳传僅仅優优儘尽億亿\
    兩两冊册剛刚創创協协勞劳勝胜勢势勵励卡卡啟启喚唤團团執执堅坚報报塊块壓压夠够寧宁審审將将導导層层屬属師师帶带庫库\
    張张強强彈弹後后徑径態态慣惯懇恳懷怀戶户拋抛掃扫捨舍換换揮挥損损搶抢摯挚擔担據据擴扩擺摆攜携敘叙斷断";

/// The text with its spellings made one. A line stays a line.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            // Drawn by nobody: zero-width marks, soft hyphens, and the dots of a letter that was decomposed.
            '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => {}
            '\u{308}' if out.ends_with(['a', 'o', 'u']) => out.push('e'),
            '\u{300}'..='\u{36f}' => {}
            '\n' => out.push('\n'),
            c if c.is_whitespace() => out.push(' '),
            '’' | '‘' | '`' | '´' | 'ʼ' | '＇' => out.push('\''),
            '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』' => out.push('"'),
            '–' | '—' | '―' => out.push('—'),
            '、' => out.push(','),
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            'œ' => out.push_str("oe"),
            'æ' => out.push_str("ae"),
            'à' | 'á' | 'â' | 'ã' | 'å' => out.push('a'),
            'ç' => out.push('c'),
            'è' | 'é' | 'ê' | 'ë' => out.push('e'),
            'ì' | 'í' | 'î' | 'ï' => out.push('i'),
            'ñ' => out.push('n'),
            'ò' | 'ó' | 'ô' | 'õ' | 'ø' => out.push('o'),
            'ù' | 'ú' | 'û' => out.push('u'),
            'ý' | 'ÿ' => out.push('y'),
            '\u{ff01}'..='\u{ff5e}' => out.push(ascii(c)),
            c if is_chinese(c) => out.push(simplified(c)),
            c => out.push(c),
        }
    }
    out
}

/// The full-width character as ASCII has it.
fn ascii(c: char) -> char {
    u32::from(c).checked_sub(0xfee0).and_then(char::from_u32).unwrap_or(c)
}

fn simplified(c: char) -> char {
    use std::collections::HashMap;
    use std::sync::OnceLock;
    static PAIRS: OnceLock<HashMap<char, char>> = OnceLock::new();
    let pairs = PAIRS.get_or_init(|| {
        let chars: Vec<char> = TRADITIONAL.chars().filter(|c| is_chinese(*c)).collect();
        chars.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    });
    pairs.get(&c).copied().unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_made_one() {
        assert_eq!(fold("I’M\u{a0}No\u{200b}t"), "i'm not");
        assert_eq!(fold("Größe, gru\u{308}n, Désabonné, ¿Sí?"), "groesse, gruen, desabonne, ¿si?");
        assert_eq!(fold("請取消訂閱！"), "请取消订阅!");
        assert_eq!(fold("ＡＢ：１\n、"), "ab:1\n,");
    }

    #[test]
    fn the_pairs_of_characters_are_pairs() {
        let chars: Vec<char> = TRADITIONAL.chars().collect();
        assert!(chars.iter().all(|c| is_chinese(*c)) && chars.len().is_multiple_of(2));
        // What a pair ends in is simplified: it begins no pair of its own.
        assert!(chars.chunks(2).all(|pair| simplified(pair[1]) == pair[1]));
    }
}
