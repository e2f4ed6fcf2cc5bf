#!/usr/bin/env python3
"""Writes capitalize.json: what Python's str.capitalize makes of texts, as pairs [text, capitalized].

All characters whose title case is not their upper case, each followed by capitals, and sentences.
Made with Python 3.11 (Unicode 14). usage: python3 capitalize.py > capitalize.json
"""
import json

odd = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).title() != chr(c).upper()]
texts = [c + "ABC" for c in odd] + [
    "", "a", "What is the TOTAL?", "what is the total?", "HOME MASTER HARDWARE & ELECTRICAL", "12 ABC", " LEADING SPACE",
    "iPHONE", "ÉCOLE ÉLÉMENTAIRE", "ŉABC", "ΟΔΥΣΣΕΥΣ ΟΔΟΣ", "ΣΑΣ", "Σ", "ΑΣ'Α", "ΑΣ' Α", "İSTANBUL İÇİN", "ΰ", "ǰ", "СКОЛЬКО СТОИТ?", "𐐨𐐀",
    "STRASSE ẞ", "合計はいくらですか", "A\nB\tC", "\u0301ABC",
]
print("[\n" + ",\n".join(json.dumps([t, t.capitalize()]) for t in texts) + "\n]")
