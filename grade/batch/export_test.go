package batch

// TypedText is for tests.
var TypedText = typedText
