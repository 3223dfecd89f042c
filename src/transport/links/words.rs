//! What the pages of links say, in each language.

use crate::domain::language::Language;

/// The words of one language. `{sender}` stands for who has written the letter, `{address}` for whom it was sent to.
pub(super) struct Words {
    pub ask: Said,
    pub unsubscribe: &'static str,
    pub done: Said,
    /// Before the button that takes it back.
    pub mistake: &'static str,
    pub undo: &'static str,
    pub undone: Said,
    /// There is nothing that this link has done.
    pub still: Said,
    pub no_link: Said,
    pub later: Said,
}

/// A heading, and what stands below it.
pub(super) struct Said {
    pub title: &'static str,
    pub text: &'static str,
}

const fn said(title: &'static str, text: &'static str) -> Said {
    Said { title, text }
}

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
        Language::French => &FRENCH,
        Language::German => &GERMAN,
        Language::Spanish => &SPANISH,
    }
}

const ENGLISH: Words = Words {
    ask: said("Unsubscribe", "Do you want {sender} to send no more e-mails to {address}?"),
    unsubscribe: "Unsubscribe",
    done: said("You are unsubscribed", "{sender} will send no more e-mails to {address}."),
    mistake: "Pressed by mistake?",
    undo: "Undo",
    undone: said("Undone", "{sender} may write to {address} again."),
    still: said("Nothing to undo", "{address} gets no e-mails from {sender}, for another reason than this link."),
    no_link: said(
        "This link does not work",
        "It is not complete, or no longer valid. If you want no more e-mails, answer one of them and say so.",
    ),
    later: said("Please try again", "That did not work just now. Please try again in a few minutes."),
};

const GERMAN: Words = Words {
    ask: said("Abmelden", "Soll {sender} keine E-Mails mehr an {address} senden?"),
    unsubscribe: "Abmelden",
    done: said("Sie sind abgemeldet", "{sender} sendet keine E-Mails mehr an {address}."),
    mistake: "Aus Versehen gedrückt?",
    undo: "Rückgängig machen",
    undone: said("Rückgängig gemacht", "{sender} darf wieder an {address} schreiben."),
    still: said(
        "Nichts rückgängig zu machen",
        "{address} bekommt keine E-Mails von {sender}, aus einem anderen Grund als diesem Link.",
    ),
    no_link: said(
        "Dieser Link funktioniert nicht",
        "Er ist unvollständig oder nicht mehr gültig. Wenn Sie keine E-Mails mehr möchten, antworten Sie auf eine davon und \
         schreiben Sie das.",
    ),
    later: said(
        "Bitte versuchen Sie es noch einmal",
        "Das hat gerade nicht geklappt. Bitte versuchen Sie es in einigen Minuten noch einmal.",
    ),
};

const FRENCH: Words = Words {
    ask: said("Se désabonner", "Souhaitez-vous que {sender} n’envoie plus d’e-mails à {address} ?"),
    unsubscribe: "Se désabonner",
    done: said("Désabonnement effectué", "{sender} n’enverra plus d’e-mails à {address}."),
    mistake: "Une erreur ?",
    undo: "Annuler le désabonnement",
    undone: said("Désabonnement annulé", "{sender} peut de nouveau écrire à {address}."),
    still: said("Rien à annuler", "{address} ne reçoit pas d’e-mails de {sender}, pour une autre raison que ce lien."),
    no_link: said(
        "Ce lien ne fonctionne pas",
        "Il est incomplet ou n’est plus valable. Si vous ne voulez plus recevoir d’e-mails, répondez à l’un d’eux et dites-le.",
    ),
    later: said("Veuillez réessayer", "Cela n’a pas fonctionné. Veuillez réessayer dans quelques minutes."),
};

const SPANISH: Words = Words {
    ask: said("Darse de baja", "¿Quiere que {sender} no envíe más correos a {address}?"),
    unsubscribe: "Darse de baja",
    done: said("Baja realizada", "{sender} no enviará más correos a {address}."),
    mistake: "¿Lo pulsó por error?",
    undo: "Deshacer",
    undone: said("Baja anulada", "{sender} puede volver a escribir a {address}."),
    still: said("Nada que deshacer", "{address} no recibe correos de {sender}, por otro motivo que este enlace."),
    no_link: said(
        "Este enlace no funciona",
        "Está incompleto o ya no es válido. Si no quiere recibir más correos, responda a uno de ellos y dígalo.",
    ),
    later: said("Inténtelo de nuevo", "No ha funcionado en este momento. Inténtelo de nuevo dentro de unos minutos."),
};

const CHINESE: Words = Words {
    ask: said("退订", "您是否希望{sender}不再向{address}发送邮件？"),
    unsubscribe: "退订",
    done: said("您已退订", "{sender}不会再向{address}发送邮件。"),
    mistake: "按错了吗？",
    undo: "撤销退订",
    undone: said("已撤销", "{sender}可以重新向{address}发送邮件。"),
    still: said("没有可撤销的操作", "{address}不会收到{sender}的邮件，原因不是此链接。"),
    no_link: said("此链接无效", "链接不完整或已失效。如果您不想再收到邮件，请回复其中一封并说明。"),
    later: said("请重试", "刚才未能完成，请几分钟后再试。"),
};
