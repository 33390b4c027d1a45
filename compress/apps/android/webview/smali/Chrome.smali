# Grants the page the camera and opens the file chooser for it.
.class public Ldev/slimlab/webview/Chrome;
.super Landroid/webkit/WebChromeClient;
.field final main:Ldev/slimlab/webview/Main;

.method public constructor <init>(Ldev/slimlab/webview/Main;)V
    .registers 2
    invoke-direct {p0}, Landroid/webkit/WebChromeClient;-><init>()V
    iput-object p1, p0, Ldev/slimlab/webview/Chrome;->main:Ldev/slimlab/webview/Main;
    return-void
.end method

.method public onPermissionRequest(Landroid/webkit/PermissionRequest;)V
    .registers 3
    invoke-virtual {p1}, Landroid/webkit/PermissionRequest;->getResources()[Ljava/lang/String;
    move-result-object v0
    invoke-virtual {p1, v0}, Landroid/webkit/PermissionRequest;->grant([Ljava/lang/String;)V
    return-void
.end method

.method public onShowFileChooser(Landroid/webkit/WebView;Landroid/webkit/ValueCallback;Landroid/webkit/WebChromeClient$FileChooserParams;)Z
    .registers 7
    iget-object v0, p0, Ldev/slimlab/webview/Chrome;->main:Ldev/slimlab/webview/Main;
    iput-object p2, v0, Ldev/slimlab/webview/Main;->answer:Landroid/webkit/ValueCallback;
    invoke-virtual {p3}, Landroid/webkit/WebChromeClient$FileChooserParams;->createIntent()Landroid/content/Intent;
    move-result-object v1
    const/4 v2, 0x1
    invoke-virtual {v0, v1, v2}, Ldev/slimlab/webview/Main;->startActivityForResult(Landroid/content/Intent;I)V
    return v2
.end method
