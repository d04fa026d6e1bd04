"""Texts for the tests, none of which the export is verified on."""

LANGUAGES = {
    "en": "The ferry to the island leaves every morning at seven, unless the wind is too strong.",
    "de": "Die Fähre zur Insel legt jeden Morgen um sieben ab, sofern der Wind nicht zu stark ist.",
    "fr": "Le ferry pour l'île part chaque matin à sept heures, sauf si le vent est trop fort.",
    "es": "El transbordador a la isla sale cada mañana a las siete, salvo que el viento sea demasiado fuerte.",
    "pt": "A balsa para a ilha sai todas as manhãs às sete, a menos que o vento esteja muito forte.",
    "ru": "Паром на остров отправляется каждое утро в семь, если ветер не слишком сильный.",
    "zh": "除非风太大,否则开往岛上的渡轮每天早上七点出发。",
    "ja": "風が強すぎない限り、島へのフェリーは毎朝七時に出発します。",
    "ar": "تغادر العبّارة إلى الجزيرة كل صباح في السابعة ما لم تكن الرياح شديدة.",
    "he": "המעבורת לאי יוצאת בכל בוקר בשבע, אלא אם הרוח חזקה מדי.",
    "hi": "यदि हवा बहुत तेज़ न हो तो द्वीप के लिए नौका हर सुबह सात बजे निकलती है।",
    "ko": "바람이 너무 강하지 않으면 섬으로 가는 배는 매일 아침 일곱 시에 떠납니다.",
}

ODD = {
    "empty": "",
    "spaces": "   ",
    "one character": "x",
    "one ideograph": "水",
    "emoji": "👩‍🔬🧪 🎻🎻🎻 🏳️‍🌈",
    "right to left, mixed": "קניתי 3 books ב־20 € في السوق",
    "control characters": "a\x00b\x07c\x1b[31md\x7f\u200b\u200e\ufeff",
    "combining marks": "Z̷̢̛a̸͎͐l̵̠͘g̶̳͝o̷̗͠",
    "special tokens": "<s> what </s> <mask> [CLS] [SEP] <pad>",
    "10,000 words": "word and again " * 3334,
    "line breaks": "first\r\nsecond\n\n\tthird",
}
