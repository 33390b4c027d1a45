package @APPLICATION_ID@

/** A class of the model: its name and its colour (ARGB). The order is that of the indices in a mask. */
data class SegmentationClass(val name: String, val colour: Int)

val CLASSES = listOf(
@CLASSES@
)
