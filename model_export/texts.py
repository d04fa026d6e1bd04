"""The fixed texts on which artifacts are verified.

They are written for this purpose: everyday sentences in several scripts, pasted code, addresses and tables, single words, and
long passages.
"""

import math
from collections.abc import Collection

PARAGRAPHS = {
    "en": "The library opens at nine and closes at six, except on Thursdays, when the reading room stays open until ten. "
    "Members may borrow up to eight books for four weeks; a book that nobody has asked for can be renewed twice.",
    "de": "Der Zug nach München hat heute etwa zwanzig Minuten Verspätung, weil bei Augsburg ein Signal ausgefallen ist. "
    "Reisende mit Anschluss nach Salzburg werden gebeten, in den Wagen drei bis fünf Platz zu nehmen.",
    "fr": "Pour préparer la pâte, mélangez la farine, les œufs et une pincée de sel, puis laissez-la reposer une heure au "
    "réfrigérateur. Étalez-la finement et garnissez-la de pommes coupées en lamelles.",
    "es": "El ayuntamiento ha decidido cerrar al tráfico la calle mayor los domingos, de modo que los vecinos puedan pasear "
    "y los comercios saquen sus mesas a la acera. La medida se revisará en otoño.",
    "it": "Il ghiacciaio si è ritirato di quasi trecento metri negli ultimi vent'anni, e il sentiero che lo attraversava è "
    "stato spostato sul versante opposto della valle.",
    "nl": "De gemeente legt langs de gracht een nieuw fietspad aan, zodat kinderen veilig naar school kunnen rijden zonder "
    "de drukke weg over te steken.",
    "pl": "Po długiej zimie rzeka wystąpiła z brzegów i zalała łąki pod lasem, dlatego bociany zbudowały w tym roku gniazdo "
    "na dachu starej szkoły.",
    "pt": "A empresa anunciou que vai devolver o dinheiro a todos os clientes que compraram o aparelho antes de março, sem "
    "que seja preciso apresentar o recibo.",
    "ru": "Учёные обнаружили в пустыне следы древнего озера, которое высохло около пяти тысяч лет назад, и надеются найти "
    "на его берегах остатки поселений.",
    "zh": "这家医院从下个月起提供网上预约服务,病人可以提前两周选择医生和时间,不必再清早到窗口排队。",
    "ja": "新しい図書館は駅から歩いて五分のところにあり、地下には子ども向けの部屋と小さな喫茶店が設けられている。",
    "ko": "이번 주말에는 전국에 많은 비가 내릴 것으로 보이니 산이나 계곡으로 떠나는 분들은 일기예보를 꼭 확인하시기 바랍니다.",
    "ar": "افتتح المتحف قاعة جديدة تعرض أدوات الزراعة القديمة، ويمكن للزوار أن يجربوا بأنفسهم كيف كان القمح يطحن باليد.",
    "hi": "गाँव के स्कूल में अब सौर ऊर्जा से बिजली आती है, इसलिए बच्चे शाम को भी पुस्तकालय में बैठकर पढ़ सकते हैं।",
    "tr": "Balıkçılar sabahın erken saatlerinde denize açıldı, fakat fırtına yaklaştığı için öğleden önce limana dönmek "
    "zorunda kaldılar.",
    "he": "החוקרים מדדו את רעש התנועה ברחובות העיר ומצאו שעצים גבוהים מפחיתים אותו יותר ממה שסברו עד כה.",
}
"""By language, a passage."""

_PLAIN = [
    "hello",
    "Wie geht's?",
    "How do I reset my password?",
    "def area(radius: float) -> float:\n    return math.pi * radius ** 2\n",
    "SELECT name, count(*) FROM orders WHERE placed >= '2024-01-01' GROUP BY name ORDER BY 2 DESC;",
    "Invoice 2024-0815 | 3 x 19.90 EUR | VAT 19 % | total 71.04 EUR | due 14 days net",
    "https://example.com/articles/2024/05/how-to-grow-tomatoes?ref=newsletter#watering",
    "ERROR 2024-05-01T12:00:00Z worker-7 connection reset by peer (errno=104), retrying in 250 ms",
]


def texts_in(languages: Collection[str]) -> list[str]:
    """Texts to measure fidelity on, in these languages of :data:`PARAGRAPHS`: its passages, queries, two long texts (the first is
    longer than many models read), and texts in plain letters."""
    passages = [text for language, text in PARAGRAPHS.items() if language in languages]
    mixed = [PARAGRAPHS[language] for language in ("en", "de", "fr", "ru", "zh") if language in languages]
    return [
        *passages,
        *(f"query: {text.split('.')[0].split(',')[0].split('。')[0]}" for text in passages),
        "passage: " + " ".join(passages * math.ceil(len(PARAGRAPHS) / len(passages))),
        " ".join(mixed or passages),
        *_PLAIN,
    ]


TEXTS = texts_in(PARAGRAPHS)
"""The texts in all languages."""

QUERIES = {
    "en": ["When does the library open on Thursdays?", "password reset"],
    "de": ["Warum hat der Zug nach München Verspätung?"],
    "zh": ["医院什么时候开始网上预约?"],
}


def pairs_in(languages: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of texts to measure fidelity on: some texts answer a query, most do not, and one is longer than many models read."""
    queries = [query for language, own in QUERIES.items() if language in languages for query in own]
    return [(query, text) for query in queries or QUERIES["en"] for text in texts_in(languages)]


ODD_TEXTS = [
    "",
    " ",
    "\n\t ",
    "a",
    "。",
    "👩‍👩‍👧‍👦 🎉🎉 naïve café ﬁne ＡＢＣ ①②③",
    "זהו טקסט mixed with English و عربي",
    "\x00\x01 control \x7f\x85 characters \u200b\u200d\ufeff",
    "e\u0301 \u0130 ß ſ Ǆ",
    "▁ <s> </s> <mask> [MASK] [CLS] <unk>",
    "word " * 600,
    "x" * 3000,
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 \ud7ff \ue000 \uffff",
]
"""More texts, besides :data:`TEXTS`, to compare tokenizers on."""

LONG_TEXTS = [" " * 1_000_000 + "x", "\n \t" * 100_000 + "x", "x" * 100_000]
"""Long runs of white space and letters, to compare tokenizers on."""

CALIBRATION_TEXTS = [
    "query: cheap flights to Lisbon in October",
    "passage: Bees find their way home by the position of the sun, and tell each other where flowers are by dancing.",
    "The bridge was closed for two weeks after an inspector had found cracks in one of its steel girders.",
    "query: wie lange kocht man Linsen ohne Einweichen",
    "Die Bäckerei an der Ecke backt ihr Brot noch im Holzofen, und samstags reicht die Schlange bis zur Apotheke.",
    "query: quel vin servir avec un poisson grillé",
    "Les deux sœurs ont repris la ferme de leur grand-père et y élèvent une trentaine de chèvres.",
    "El equipo perdió el último partido de la temporada, pero conserva su plaza en la primera división.",
    "query: come si toglie una macchia di caffè dalla camicia",
    "Il treno notturno per Palermo attraversa lo stretto su una nave, mentre i passeggeri dormono.",
    "De molen aan de rand van het dorp maalt weer graan, nu vrijwilligers de wieken hebben hersteld.",
    "Lekarze radzą, żeby po chorobie wracać do biegania powoli, najpierw co drugi dzień.",
    "Os pescadores recolheram as redes antes do amanhecer e venderam o peixe na praça.",
    "В музее открылась выставка старинных часов, и почти все они до сих пор идут.",
    "сколько стоит билет на автобус до аэропорта",
    "春天的时候,河边的柳树最先发芽,孩子们放学后常常到那里放风筝。",
    "如何更换自行车的轮胎",
    "台風が近づいているため、島へ渡る船は明日の朝から運休する予定です。",
    "오래된 기차역이 작은 도서관으로 바뀌어 동네 사람들의 쉼터가 되었다.",
    "زرعت المدرسة عشرين شجرة زيتون في الساحة، وسمى كل صف شجرة باسمه.",
    "पहाड़ी रास्ते पर बर्फ़ गिरने से बसें दो दिन तक बंद रहीं।",
    "Köydeki eski çeşme onarıldı ve suyu yeniden içilebilir hale geldi.",
    "ตลาดเช้าเปิดตั้งแต่ตีห้า มีผักสดจากสวนใกล้เมืองขายทุกวัน",
    "Ngôi chùa trên đồi được xây lại bằng gỗ lấy từ khu rừng phía sau.",
    "for line in sys.stdin:\n    print(line.rstrip().upper())",
    "GET /api/v2/users?page=3&limit=50 HTTP/1.1 200 1843 bytes in 27 ms",
    "Total: 3 items, 59.70 EUR incl. 19 % VAT, order no. 77-1203, ships within 2 days",
    "A man is slicing an onion on a wooden board.",
    "Two dogs run along the beach while a child throws a ball.",
    "thanks",
]
"""Texts to measure activations on before a graph is quantized. None is in :data:`TEXTS`, which verify the result."""
