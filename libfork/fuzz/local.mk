# fuzz: sessions, AFL++'s protocols.

