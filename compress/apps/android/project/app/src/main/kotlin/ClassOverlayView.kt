package @APPLICATION_ID@

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import kotlin.math.min

/** Shows a mask in the colours of the classes, as large as it fits into the view. */
class ClassOverlayView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val paint = Paint().apply { isFilterBitmap = false }
    private var picture: Bitmap? = null
    private var mirrored = false

    /** How much of the colours is seen, from 0 to 1. */
    var opacity = 0.6f
        set(value) {
            field = value
            invalidate()
        }

    /** Shows a mask; the picture of a front camera is mirrored. */
    fun show(mask: Mask, mirrored: Boolean) {
        val colours = IntArray(mask.indices.size) { CLASSES[mask.indices[it].toInt() and 0xFF].colour }
        picture = Bitmap.createBitmap(colours, mask.width, mask.height, Bitmap.Config.ARGB_8888)
        this.mirrored = mirrored
        invalidate()
    }

    /** Takes the mask away. */
    fun clear() {
        picture = null
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val shown = picture ?: return
        val scale = min(width.toFloat() / shown.width, height.toFloat() / shown.height)
        val left = (width - scale * shown.width) / 2
        val top = (height - scale * shown.height) / 2
        paint.alpha = (255 * opacity).toInt()
        canvas.save()
        if (mirrored) canvas.scale(-1f, 1f, width / 2f, height / 2f)
        canvas.drawBitmap(shown, null, RectF(left, top, width - left, height - top), paint)
        canvas.restore()
    }
}
