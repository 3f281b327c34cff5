package intake

// TypedText is for tests.
var TypedText = typedText
