"""The words that choose an option, call it right or wrong, or deny it, in the usual languages."""

from __future__ import annotations

import re

NOUN = (
    r"(?:options?|choices?|answers?|statements?|alternatives?|responses?|one|pick|selection|letter"
    r"|guess|candidate|description"
    r"|explanation|reason)"
)
BE = r"(?:is|are|would be|will be|should be|must be|has to be|remains)(?!\w)|[=:：]"
# What comes before the option that is chosen.
CHOSEN = re.compile(
    rf"\b(?:(?:correct|right|best|only|true|appropriate|likely|final|remaining|valid|accurate|suitable"
    rf"|plausible|my|our) ){{1,3}}{NOUN}\b"
    rf"(?: (?:here|left|among|for|to|of|in|that|which)\b[^.!?:\n]{{0,60}}?)?(?: (?:therefore|thus|then"
    rf"|clearly))?\s?(?:{BE})"
    r"|\bcorrect(?:ly)?\s?:|\b(?:option|choice|pick|selection|conclusion|verdict)\s?:"
    r"|\b(?:I|we)(?:'d|'ll|’d|’ll| would| will| shall| can| must| have to| am going to"
    r"| think I'll)?(?: \w+ly)?(?: therefore| thus| also| then)?"
    r" (?:go with|going with|choose|chose|select|pick|opt for|conclude|vote(?: for)?|end(?:ed)? up with"
    r"|settle on|say|bet on"
    r"|lean (?:towards?|to)|answer|take|prefer|believe it(?: is|'s)|think it(?: is|'s))\b(?: that)?"
    r"|\b(?:go(?:ing)? with|settle on|opt(?:ing)? for|left with(?: only)?|leav(?:es?"
    r"|ing)(?: us)?(?: only| with)?(?: just)?|narrows? (?:\w+ )?down to)\b"
    r"|(?:会|會|应|應|要|我|所以|因此|故|应该|應該)(?:选择|選擇|选|選)|^(?:选择|選擇|选|選)|正确(?:的)?(?:选项|答案)?(?:是|为|：)"
    r"|正確(?:的)?(?:選項|答案)?(?:是|為|：)|選択肢(?:は|の)?"
    r"|\b(?:ich (?:wähle|nehme)|richtig (?:ist|wäre)|korrekt ist|(?:richtige|korrekte) (?:option|wahl"
    r"|aussage) ist|je (?:choisis|sélectionne)|(?:bonne"
    r"|correcte) (?:option|lettre) est|elijo|escojo|(?:opción|opcion|alternativa|letra) correcta es"
    r"|escolho|(?:alternativa|opção|letra) correta (?:é|e)|scelgo|opzione (?:corretta|giusta) è"
    r"|выбираю|सही विकल्प"
    r"|الخيار الصحيح(?: هو)?|(?:گزینه|پاسخ)(?: صحیح| درست)?|phương án(?: đúng)?(?: là)?"
    r"|правильн\w+ (?:вариант|опци)\w*(?: ответа)?|верн\w+ (?:вариант|ответ)\w*"
    r"|ik kies|wybieram|doğru (?:cevap|seçenek|şık)|saya memilih|chọn|seçiyorum|i pick)(?!\w)",
    re.IGNORECASE | re.MULTILINE,
)
# Words that choose only where a letter alone follows: "it must be C." and not "it must be A = 2".
CHOSEN_BARELY = re.compile(
    r"\b(?:points? to|leads? (?:us )?to|corresponds? to|match(?:es)?|agrees? with|consistent with"
    r"|supports?|which (?:is|gives|means)|must be"
    r"|has to be|can only be|this is|it is|it's|that is|that's|would be|should be|namely|select|choose"
    r"|pick|answer"
    r"|the (?:option|choice|letter|pick|statement) (?:is|would be)|I (?:now )?(?:think|guess|believe"
    r"|suspect|say)"
    r"|makes|leaving|must therefore be)(?!\w)|(?:^|[.!?;,]\s(?:but |and )?)(?:no wait|wait|no|actually"
    r"|rather|I mean|correction|sorry|so|thus"
    r"|hence|therefore|then|ergo|finally|ultimately|eventually|in the end|in conclusion|conclusion|overall"
    r"|by (?:the process of )?elimination|probably|definitely|most likely|certainly)\b[,:.]?"
    r"|(?:したがって|よって|ゆえに|因此|所以|综上|따라서|그러므로)[、，,:：]?|(?:选择|選擇|选|選)(?![项項])",
    re.IGNORECASE,
)
ON = re.compile(
    r"(?:[\s:：—–*_\"'“`-]|(?:therefore|thus|then|clearly|indeed|only|just|actually|still|simply|that"
    r"|la|le|el|die|das|o|(?-i:a)|é|è|es|est|ist|the|is|letra|lettre|lettera|вариант|选项|選項|—)(?!\w)\s?){0,8}",
    re.IGNORECASE,
)
# What comes after it.
RIGHT = re.compile(
    r"(?:\s\([^()\n]{1,60}\)|,? (?!(?:is|are|and|or)\b)[a-z][^.,;:!?()\n]{0,30},)?[*_\"”]{0,3}\s(?:is"
    r"|are|must be|would be|should be|seems(?: to be)?|appears to be|has to be|remains)"
    r"\s(?:\w+ly |thus |therefore |indeed |the |most |only |one |my |best |to be ){0,4}(?:correct"
    r"|right|true|best|answer|choice|option|one|valid|accurate|appropriate|likely|left|solution"
    r"|better)\b"
    r"|\sis what I(?:'d|’d| would)? (?:choose|pick|select|go with)\b|\sestá corret[ao]"
    r"|\s?[:.–—-]?\s?(?:✅|✓|✔|☑)|\s?[:.–—-]{1,2}\s?(?:this is |is )?(?:the )?(?:right|correct|true|yes)\b"
    r"|(?<=[)\]])\s(?:yes|right|correct|true)\b|(?:[.:]|(?<=[)\]]))\s(?!\S*\bnot\b)[^.:;!?\n–—-]{1,60}\s[–—-]{1,2}\s"
    r"(?:this is |is )?(?:the )?(?:right|correct|true|yes)\b|\s(?:as )?(?:the|our) (?:only )?(?:correct"
    r"|right|best|final|possible|remaining)?\s?"
    r"(?:answer|option|choice|possibility)\b|\s(?:richtig|korrekt)\b"
    r"|\s?(?:项|項|选项|選項)?(?:是)?(?:正确|正確|对的)|\s?[がはも]\s?正(?:解|しい)|\s?[이가]\s?(?:정답|맞)"
    r"|\s(?:ist|wäre) (?:richtig|korrekt|die richtige)|\sest (?:la (?:bonne )?réponse|correcte?"
    r"|la bonne|juste|exacte)|\ses (?:la )?(?:correcta|respuesta|opción correcta)"
    r"|\sé (?:a )?(?:corret[ao]|certa|resposta|alternativa correta)|\sè (?:la )?(?:corretta|giusta"
    r"|risposta)|\s(?:[—–-]\s)?(?:верн|правильн)\w+|\sđúng\b|\s(?:şıkkı|seçeneği)|\sसही|\sjest (?:poprawn"
    r"|prawidłow)\w+|\sis (?:juist|correct)",
    re.IGNORECASE,
)
HOLDS = re.compile(
    r"[*_\"”]{0,3},?\s(?:because|since)\b|[*_\"”]{0,3}\s(?:holds?|fits|works|best (?:matches|fits"
    r"|describes|explains|answers)|stands|remains|wins|applies|it is)\b",
    re.IGNORECASE,
)
WRONG = re.compile(
    r"[)\]*_\"”]{0,3}(?:\s\([^()\n]{1,60}\))?,?\s?(?:(?:and|or|,)\s?\(?[A-J]\)?\s)*\s?(?:(?:is|are"
    r"|was|were|can be|must be|would be|seems|looks|being)\s(?:\w+ly |also |thus |therefore |both "
    r"|all ){0,3}"
    r"(?:wrong|incorrect|false|not|never|hardly|rarely|barely|scarcely|seldom|partly|partially|almost|nearly|far"
    r"|allegedly|supposedly|ruled out|excluded|eliminated|impossible|invalid|out\b"
    r"|inconsistent|unlikely|implausible|irrelevant|discarded|too |dismissed|rejected|no\b|tempting)"
    r"|(?:isn't|isn’t|aren't|can't|can’t|cannot|could not|couldn't|does not|doesn't|doesn’t|do not"
    r"|don't|fails?|would (?:not|break|violate|require)|violates?|contradicts?|ignores?|looked"
    r"|seemed)\b"
    r"|\s?[:.–—-]?\s?(?:❌|✗|✘|✖)|\s?[:.–—-]{1,2}\s?(?:this is |is )?(?:wrong|incorrect|false|no)\b"
    r"|ist falsch|est fausse?|es incorrecta|é incorreta|è sbagliata|неверн|неправильн|是?错|不对|不正确|是錯"
    r"|ではな|이 아니)",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"(?:\bnot|\bcannot(?: be)?|n't(?: be)?|n’t(?: be)?|\bneither|\bnor|\bnever|\bexclud\w+"
    r"|\beliminat(?:e|es|ed|ing)|\brul(?:e|es|ed|ing) out|\breject\w*|\bdiscard\w*|\bdismiss\w*|\bunlike"
    r"|\brather than|\binstead of"
    r"|\bfall for|\b(?:first|initially|originally)\b[^.!?]{0,20}|\bI thought|\bmaybe|\bperhaps"
    r"|\bpossibly|\bmight be|\bcould be|\blooks like|\bfrom|\bexcept|\b(?:all|any|each)(?: of (?:them"
    r"|these|the \w+))? but|\bwithout|\bversus|\bvs\.?|\bif"
    r"|\bwhether|\bnicht|\bkein\w*|\bpas|\bno es"
    r"|\bnon è|\bnão é|\bне|不是|不选|排除|并非|over)\W{0,3}(?:(?:the|an?|option|choice|answer|be|for|la|le"
    r"|el|die|it|was|that|by|to)\s){0,3}[(\[*\"']{0,3}$",
    re.IGNORECASE,
)
# Before a verb that chooses: "I would never choose C", "many students choose C".
NOT_CHOSEN = re.compile(
    r"(?:\b(?:not|never|cannot|nor|nothing|none|nobody|no one|no evidence|no way|hardly|least|less"
    r"|avoid|hesitate to|refuse to|wrong to|mistake to|error to|easy to|tempt\w+ to)"
    r"|n['’]t|\b(?:one|you|people|students?|someone|they|many|most|some|others?|beginners|who"
    r"|(?<=[\w,] )that|to)"
    r"(?: (?:might|may|could|would|will|often|wrongly|usually|first|incorrectly"
    r"|mistakenly))*)(?: \w+ly)?\s*$",
    re.IGNORECASE,
)
OTHERS_CHOOSE = re.compile(
    r",? (?:(?:that|which) )?(?:(?:most|many|some|other|all) )*(?:people|students?|beginners|would"
    r"|might|looks?|seems?"
    r"|only if|if|unless|were|one (?:might|would))\b",
    re.IGNORECASE,
)
