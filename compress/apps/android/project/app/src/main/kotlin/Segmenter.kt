package @APPLICATION_ID@

import android.content.Context
import android.graphics.Bitmap
import android.os.SystemClock
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.framework.image.ByteBufferExtractor
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.core.Delegate
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.imagesegmenter.ImageSegmenter

/** The class index of each pixel, row by row, and the milliseconds that it took. */
class Mask(val width: Int, val height: Int, val indices: ByteArray, val milliseconds: Long)

/**
 * Runs model.tflite of the assets by MediaPipe. Make it, use it and close it on one thread: the GPU delegate is bound to
 * the thread that made it.
 */
class Segmenter(context: Context, val delegate: Delegate) : AutoCloseable {
    private val segmenter: ImageSegmenter

    init {
        val base = BaseOptions.builder().setModelAssetPath(MODEL).setDelegate(delegate).build()
        val options = ImageSegmenter.ImageSegmenterOptions.builder()
            .setBaseOptions(base)
            .setRunningMode(RunningMode.VIDEO)
            .setOutputCategoryMask(true)
            .setOutputConfidenceMasks(false)
            .build()
        segmenter = ImageSegmenter.createFromOptions(context, options)
    }

    /** Segments an upright frame; `timestamp` (ms) grows from frame to frame. Null where MediaPipe gives no mask. */
    fun segment(frame: Bitmap, timestamp: Long): Mask? {
        val begun = SystemClock.uptimeMillis()
        val result = segmenter.segmentForVideo(BitmapImageBuilder(frame).build(), timestamp)
        val mask = result.categoryMask().orElse(null) ?: return null
        val buffer = ByteBufferExtractor.extract(mask)
        val indices = ByteArray(mask.width * mask.height)
        buffer.rewind()
        buffer.get(indices)
        return Mask(mask.width, mask.height, indices, SystemClock.uptimeMillis() - begun)
    }

    override fun close() {
        segmenter.close()
    }

    private companion object {
        const val MODEL = "model.tflite"
    }
}
