/** The texts of the pages in Chinese, by what they are in English. */

/** @type {Record<string, string>} */
export const CHINESE = {
  // The chat page.

  // Rooms.
  You: '你',
  Sending: '正在发送',
  'Try again': '重试',
  'Not sent: {why}': '未发送：{why}',
  Stop: '停止',
  'asked by {name}': '由 {name} 提问',

  // The API reference.
  'API reference · tidegate': 'API 参考 · tidegate',
  'API reference': 'API 参考',
  'Every answer is a stream that can be left and found again: the calls, what they take and what they give.':
    '每个回答都是一条可以离开、再接上的流。这里列出所有接口、参数和返回。',
  'The description of the API could not be loaded. Refresh to try again.': '无法加载 API 说明。请刷新重试。',
  Chat: '聊天',
  Contents: '目录',
  'Find a call': '查找接口',
  'Nothing has these words.': '没有匹配的内容。',
  '1 found': '找到 1 项',
  '{count} found': '找到 {count} 项',
  Streams: '流',
  'Topics and WebSocket': '主题与 WebSocket',
  Models: '模型',
  Operation: '运维',
  'Server and pages': '服务器与页面',
  Errors: '错误',
  Types: '类型',
  Scope: '权限',
  Example: '示例',
  'A whole one': '完整示例',
  'What a stream looks like': '流的样子',
  Parameters: '参数',
  Body: '请求体',
  'Body, optional': '请求体（可选）',
  Or: '或',
  Answers: '响应',
  Events: '事件',
  required: '必填',
  Copy: '复制',
  Copied: '已复制',
  'The browser did not let it be copied.': '浏览器不允许复制。',

  // What went wrong.
  'The server cannot be reached.': '无法连接到服务器。',
  'The server did not accept it: {words}.': '服务器没有接受：{words}。',
  'The server could not read what this page has sent. Refresh it, and try again.':
    '服务器无法读取本页面发送的内容。请刷新页面后重试。',
  'Something between this page and the server has garbled the request. Try again.':
    '请求在到达服务器的途中损坏了。请重试。',
  'This page and the server do not agree where the answer stands. Refresh the page.':
    '页面与服务器记录的回答进度不一致。请刷新页面。',
  'This page and the server are of different versions. Refresh it.': '页面与服务器的版本不一致。请刷新页面。',
  'The server does not answer at this address. Whoever runs it has to allow it.':
    '服务器不接受通过此地址的访问，需要管理员放行。',
  'There is nothing here. Refresh the page.': '这里没有内容。请刷新页面。',
  'The server no longer knows this answer.': '服务器上已经没有这条回答了。',
  'This model is no longer there. Choose another.': '这个模型已经不在了。请换一个。',
  'The request took too long to arrive. Try again.': '请求发送得太慢，已超时。请重试。',
  'This is more than the server takes at once. Say it in fewer words, or begin a new conversation.':
    '内容超出了服务器一次能接收的大小。请缩短内容，或开始新对话。',
  'Something between this page and the server lets no WebSocket through.':
    '页面与服务器之间的网络不允许 WebSocket 通过。',
  'This browser sends the server too many cookies. Delete those of this site.':
    '浏览器发送的 Cookie 过多。请清除本站的 Cookie。',
  'The server did not accept the key.': '服务器没有接受这个密钥。',
  'The key has expired. Enter a new one.': '密钥已过期。请输入新的密钥。',
  'This key does not allow that.': '这个密钥没有相应的权限。',
  'This page was opened with another key. Refresh it.': '本页面是用另一个密钥打开的。请刷新页面。',
  'The server takes nothing from pages at this address. Whoever runs it has to allow it.':
    '服务器不接受来自此地址页面的请求，需要管理员放行。',
  'This key does not open this room.': '这个密钥不能进入此房间。',
  'The server cannot check the key at the moment. Try again soon.': '服务器暂时无法验证密钥。请稍后重试。',
  'This page reads the answer already. Refresh it.': '本页面已经在接收这条回答。请刷新页面。',
  'This question was asked before, in other words. Ask it anew.': '这个问题之前以不同的内容提交过。请重新提问。',
  'Another program fills this answer now.': '这条回答现在由另一个程序写入。',
  'This answer has ended.': '这条回答已经结束。',
  'The answer was stopped.': '回答已停止。',
  'This answer has too many links. Stop sharing it, and share it again.':
    '这条回答的分享链接太多。请先停止分享，再重新分享。',
  'The answer was cut off: it is longer than this server keeps.': '回答被截断：超出了服务器保存的长度上限。',
  'That was too often for this server. Wait a moment.': '请求过于频繁。请稍等片刻。',
  'Your tokens for this minute are used up. Wait a moment.': '这一分钟的 token 额度已用完。请稍等片刻。',
  'Too many pages are open on this server. Close some.': '打开的页面太多。请关闭一些。',
  'Too many of your answers are being written. Wait for one to end, or stop one.':
    '同时生成的回答太多。请等其中一条结束，或停止一条。',
  'Too many pages read along. Close some.': '同时查看的页面太多。请关闭一些。',
  'There is no room left for your answers on this server. Delete some, or wait until they expire.':
    '服务器上已没有空间保存你的回答。请删除一些，或等它们过期。',
  'The answer was cut off: the model failed.': '回答中断：模型出错了。',
  'The answer was cut off: the model crashed. It starts again by itself.': '回答中断：模型崩溃了，会自动重启。',
  'The conversation is too long for this model. Begin a new one.': '对话太长，超出了这个模型的上限。请开始新对话。',
  'The server of this model refused: {words}.': '模型所在的服务器拒绝了请求：{words}。',
  'The server of this model cannot be reached. Try again soon.': '无法连接到模型所在的服务器。请稍后重试。',
  'The answer was cut off: the server of this model broke off. Try again.':
    '回答中断：与模型服务器的连接断开了。请重试。',
  'The answer was cut off: the server of this model gave up. Try again.': '回答中断：模型服务器中止了生成。请重试。',
  'The model gave no answer. Try again.': '模型没有给出回答。请重试。',
  'The server of this model sent something that cannot be read.': '模型服务器返回了无法读取的内容。',
  'The model took too long. Try again.': '模型响应超时。请重试。',
  'Something went wrong in the server. That is a bug, and its log knows more.':
    '服务器内部出错。这是一个程序缺陷，详情见服务器日志。',
  'The server is not available at the moment. Try again soon.': '服务器暂时不可用。请稍后重试。',
  'The server is about to restart. Try again soon.': '服务器即将重启。请稍后重试。',
  'The server has too much to do at the moment. Try again soon.': '服务器繁忙。请稍后重试。',
  'Too many are waiting for this model. Try again soon.': '排队等待这个模型的人太多。请稍后重试。',
  'The server cannot reach its storage at the moment. What was written is kept.':
    '服务器暂时无法访问存储。已写入的内容不会丢失。',
  'The answer was cut off: the server stopped in the middle of it.': '回答中断：服务器中途停止了。',
  'The server could not stop it in time. Try again.': '服务器未能及时停止。请重试。',
};
