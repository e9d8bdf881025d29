using TorchSharp; using static TorchSharp.torch; using System.Diagnostics;
Console.WriteLine(torch.get_num_threads());
foreach (var (m,k,n) in new[]{(1024,256,640),(4096,256,640),(4096,640,256),(4096,256,8192),(1024,576,1536),(1024,1024,1024)}) {
 using var a=torch.rand(m,k); using var b=torch.rand(k,n); 
 double best=1e9; for(int i=0;i<10;i++){var s=Stopwatch.StartNew(); using var c=a.matmul(b); s.Stop(); best=Math.Min(best,s.Elapsed.TotalSeconds);} 
 Console.WriteLine($"{m}x{k}x{n} {2.0*m*k*n/best/1e9:F0} GF/s");
}
{ using var a=torch.rand(1024,1024).to(torch.bfloat16); using var b=torch.rand(1024,1024).to(torch.bfloat16); double best=1e9; for(int i=0;i<4;i++){var s=Stopwatch.StartNew(); using var c=a.matmul(b); s.Stop(); best=Math.Min(best,s.Elapsed.TotalSeconds);} Console.WriteLine($"bf16 {2.0*1024*1024*1024/best/1e9:F0}");}
