package @APPLICATION_ID@

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Matrix
import android.os.Bundle
import android.widget.Button
import android.widget.SeekBar
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.core.resolutionselector.AspectRatioStrategy
import androidx.camera.core.resolutionselector.ResolutionSelector
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import com.google.mediapipe.tasks.core.Delegate
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** The camera, the mask over it, and the share of each class. */
class MainActivity : ComponentActivity() {
    private lateinit var preview: PreviewView
    private lateinit var overlay: ClassOverlayView
    private lateinit var speed: TextView
    private lateinit var legend: TextView
    private lateinit var worker: ExecutorService // makes, uses and closes the segmenter
    private var segmenter: Segmenter? = null
    private var lastFrame = 0L

    @Volatile
    private var wanted = Delegate.CPU
    private var lens = CameraSelector.LENS_FACING_BACK

    private val permission = registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        if (granted) startCamera() else speed.setText(R.string.camera_needed)
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        preview = findViewById(R.id.preview)
        overlay = findViewById(R.id.overlay)
        speed = findViewById(R.id.speed)
        legend = findViewById(R.id.legend)
        preview.scaleType = PreviewView.ScaleType.FIT_CENTER // as the overlay draws
        worker = Executors.newSingleThreadExecutor()
        findViewById<Button>(R.id.camera).setOnClickListener { switchCamera() }
        val delegate = findViewById<Button>(R.id.delegate)
        delegate.setOnClickListener {
            wanted = if (wanted == Delegate.CPU) Delegate.GPU else Delegate.CPU
            delegate.setText(if (wanted == Delegate.CPU) R.string.run_on_gpu else R.string.run_on_cpu)
        }
        findViewById<SeekBar>(R.id.opacity).setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, progress: Int, fromUser: Boolean) {
                overlay.opacity = progress / 100f
            }

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
        val allowed = ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA)
        if (allowed == PackageManager.PERMISSION_GRANTED) startCamera() else permission.launch(Manifest.permission.CAMERA)
    }

    override fun onDestroy() {
        worker.execute { segmenter?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun switchCamera() {
        val back = lens == CameraSelector.LENS_FACING_BACK
        lens = if (back) CameraSelector.LENS_FACING_FRONT else CameraSelector.LENS_FACING_BACK
        overlay.clear()
        startCamera()
    }

    private fun startCamera() {
        val coming = ProcessCameraProvider.getInstance(this)
        coming.addListener({ bind(coming.get()) }, ContextCompat.getMainExecutor(this))
    }

    /** Preview and analysis have one shape, so that the mask lies where the picture is. */
    private fun bind(provider: ProcessCameraProvider) {
        val shape = ResolutionSelector.Builder()
            .setAspectRatioStrategy(AspectRatioStrategy.RATIO_4_3_FALLBACK_AUTO_STRATEGY)
            .build()
        val shown = Preview.Builder().setResolutionSelector(shape).build()
        shown.surfaceProvider = preview.surfaceProvider
        val analysis = ImageAnalysis.Builder()
            .setResolutionSelector(shape)
            .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
            .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
            .build()
        val front = lens == CameraSelector.LENS_FACING_FRONT
        analysis.setAnalyzer(worker) { frame -> analyse(frame, front) }
        val selector = CameraSelector.Builder().requireLensFacing(lens).build()
        provider.unbindAll()
        provider.bindToLifecycle(this, selector, shown, analysis)
    }

    /** Runs on the worker. */
    private fun analyse(frame: ImageProxy, front: Boolean) {
        val upright = frame.use { upright(it) }
        try {
            val now = android.os.SystemClock.uptimeMillis()
            val mask = current().segment(upright, now) ?: return
            val frames = if (lastFrame == 0L) 0.0 else 1000.0 / (now - lastFrame).coerceAtLeast(1)
            lastFrame = now
            val text = getString(R.string.speed, frames, mask.milliseconds, wanted.name)
            val shares = shares(mask)
            runOnUiThread {
                overlay.show(mask, front)
                speed.text = text
                legend.text = shares
            }
        } catch (error: RuntimeException) { // MediaPipe's, such as a delegate that this phone lacks
            wanted = Delegate.CPU
            runOnUiThread { speed.text = getString(R.string.model_failed, error.message ?: error.toString()) }
        }
    }

    /** The segmenter on the delegate that is wanted. */
    private fun current(): Segmenter {
        val old = segmenter
        if (old != null && old.delegate == wanted) return old
        old?.close()
        segmenter = null
        return Segmenter(applicationContext, wanted).also { segmenter = it }
    }

    private fun upright(frame: ImageProxy): Bitmap {
        val bitmap = frame.toBitmap()
        val turn = Matrix().apply { postRotate(frame.imageInfo.rotationDegrees.toFloat()) }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, true)
    }

    /** The classes that are seen, the largest first. */
    private fun shares(mask: Mask): String {
        val counts = IntArray(CLASSES.size)
        for (index in mask.indices) counts[index.toInt() and 0xFF]++
        return counts.indices.filter { counts[it] > 0 }.sortedByDescending { counts[it] }
            .joinToString("   ") { "${CLASSES[it].name} ${100 * counts[it] / mask.indices.size} %" }
    }
}
